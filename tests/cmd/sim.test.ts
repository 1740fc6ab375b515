/** Verbs on a simulated host, by an ordinary user. @module */
import { asOrdinaryUser } from "../support/ordinary_user.ts";
import { runCases } from "../support/run_cases.ts";

Deno.test("verbs with --sim: sim_cases.ts", async () => {
  await runCases(new URL("./sim_cases.ts", import.meta.url), await asOrdinaryUser());
});
