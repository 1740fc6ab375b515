/** No controller is opened for an export that is refused whatever it would answer. */
import assert from "node:assert/strict";
import type { Answers, AskControllers } from "../../cmd/ask_controllers.ts";
import { askingForExport } from "../../cmd/ask_for_export.ts";
import type { Context } from "../../cmd/context.ts";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { holdToPlan, type PlanToHold, readPlanToHold } from "../../cmd/hold_to_plan.ts";
import { type HostFacts, type Prepared, preparePlan } from "../../cmd/prepare_plan.ts";
import { PLAN_API_VERSION, PLAN_KIND } from "../../engine/plan_json.ts";
import type { PlanOptions } from "../../engine/plan.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host } from "../engine/planning.ts";
import { withFolder } from "./run_verb.ts";

const POLICY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers:
  one: { identity: { user: nobody }, driver: iommufd }
  two: { identity: { user: daemon }, driver: iommufd }
exports:
  - { name: a, device: ssd, bar: 2, region: nvme.cmb, importers: [one], shared: true, collateral: device }
  - { name: b, device: ssd, bar: 2, region: nvme.cmb, importers: [two], shared: true, collateral: device }
`;
const NO_ANSWER: Answers = { functions: new Map(), diagnostics: [] };
const CONTEXT = {} as Context;

/** Prepares an export of one policy, and counts how often controllers are asked. */
async function prepared(
  options: PlanOptions,
  planFile?: Readonly<Record<string, unknown>>,
): Promise<{ asked: number; made: () => Promise<Prepared> }> {
  const found = { asked: 0 };
  const ask: AskControllers = () => {
    found.asked++;
    return Promise.resolve(NO_ANSWER);
  };
  let result: Prepared | Error | undefined;
  let held: PlanToHold | undefined;
  await withFolder(async (folder) => {
    const [policy, plan] = [`${folder}/p.yaml`, `${folder}/plan.json`];
    await Deno.writeTextFile(policy, POLICY);
    if (planFile !== undefined) {
      await Deno.writeTextFile(plan, JSON.stringify(planFile));
      held = await readPlanToHold(plan, { options });
    }
    const terms = { options, ...(held === undefined ? {} : { held }) };
    const facts: HostFacts = {
      pageSize: 4096,
      diagnostics: [],
      take: () => ({ snapshot: host(), diagnostics: [] }),
      ask: askingForExport(ask, terms),
    };
    try {
      const made = await preparePlan(CONTEXT, facts, [policy], options);
      result = held === undefined ? made : holdToPlan(made, held);
    } catch (error) {
      assert.ok(error instanceof Error);
      result = error;
    }
  });
  const made = () =>
    result instanceof Error || result === undefined
      ? Promise.reject(result)
      : Promise.resolve(result);
  return { asked: found.asked, made };
}

/** A plan file of these policies, as far as its head goes. */
function planOf(policy: string, options: Readonly<Record<string, unknown>>) {
  return { apiVersion: PLAN_API_VERSION, kind: PLAN_KIND, policy, options };
}

function digest(): string {
  const { set } = loadPolicySet([{ file: "p.yaml", text: POLICY }]);
  assert.ok(set !== undefined);
  return set.digest;
}

Deno.test("controllers are asked where one importer is meant", async () => {
  const { asked, made } = await prepared({ importer: "one" });
  assert.equal(asked, 1);
  const codes = (await made()).diagnostics.map(({ code }) => code);
  assert.ok(codes.includes("BG2025"), "which did not answer");
});

Deno.test("no controller is opened where nobody knows which importer the program is", async () => {
  const { asked, made } = await prepared({});
  assert.equal(asked, 0);
  await assert.rejects(made, (error) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.status, ExitStatus.usage);
    assert.match(error.message, /demo\/one, demo\/two; say it with --importer/);
    return true;
  });
});

Deno.test("no controller is opened for a plan of other policies, or one that is none", async () => {
  const options = { importer: "one" };
  const other = await prepared(options, planOf("sha256:0000", options));
  assert.equal(other.asked, 0);
  const { diagnostics, status } = await other.made();
  assert.deepEqual(diagnostics.filter(({ severity }) => severity === "error").map((d) => d.code), [
    "BG2310",
  ]);
  assert.equal(status, ExitStatus.denied);
  const none = await prepared(options, { kind: "Plan" });
  assert.equal(none.asked, 0);
  assert.equal((await none.made()).status, ExitStatus.hostNotReady);
});

Deno.test("no controller is opened for a plan that was made with other options", async () => {
  const { asked, made } = await prepared({ importer: "one" }, planOf(digest(), {}));
  assert.equal(asked, 0);
  await assert.rejects(made, /give the same options, or plan anew/);
  const same = await prepared({ importer: "one" }, planOf(digest(), { importer: "one" }));
  assert.equal(same.asked, 1);
});
