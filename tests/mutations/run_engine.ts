/**
 * Wrong rules for the engine, which the runs with faults must see. A text chooses among them.
 *
 * Run: `deno task mutate:engine`
 *
 * @module
 */
import { ENGINE_RULES } from "./engine_rules.ts";
import { tryRules } from "./try_rules.ts";

const caught = await tryRules(ENGINE_RULES, {
  folders: ["engine", "host", "policy", "sim", "tests/engine", "tests/support"],
  tests: ["tests/engine/faults/faults.test.ts"],
});
Deno.exit(caught ? 0 : 1);
