/**
 * Wrong rules for the simulation, which the conformance suite must see. A text chooses among them.
 *
 * Run: `deno task mutate:sim`
 *
 * @module
 */
import { WRONG_RULES } from "./rules.ts";
import { tryRules } from "./try_rules.ts";

const caught = await tryRules(WRONG_RULES, {
  folders: ["conformance", "engine", "sim"],
  tests: ["tests/conformance.test.ts"],
});
Deno.exit(caught ? 0 : 1);
