/** Random histories on the simulation and on the real kernel, compared step by step. @module */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { difference, shown } from "../../conformance/differential.ts";
import { histories } from "../../conformance/random_steps.ts";
import { SimWorld } from "../../conformance/sim_world.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { directLane } from "../guest/direct_lane.ts";
import { KernelWorld } from "../guest/kernel_world.ts";

const STEPS = 20;

/** Numbers that begin a row of histories; a difference names its own. */
const SEED = 20260923;

async function compare(context: CaseContext, runs: number, seed: number): Promise<void> {
  const real = new KernelWorld(directLane("differential")).enter(context);
  const begun = performance.now();
  const outcome = await fc.check(
    fc.asyncProperty(histories(STEPS), async (steps) => {
      const found = await difference(steps, [new SimWorld(), real]);
      if (found !== undefined) throw new Error(found);
    }),
    { numRuns: runs, seed },
  );
  context.figure("sequences", outcome.numRuns);
  context.figure("steps of each", STEPS);
  context.figure("seed", seed);
  context.figure("ms each", Math.round((performance.now() - begun) / outcome.numRuns));
  if (!outcome.failed) return;
  const [history] = outcome.counterexample ?? [[]];
  const lines = history.map((step, index) => `  ${index + 1}. ${shown(step)}`);
  assert.fail(
    [`the sides differ: ${errorText(outcome.errorInstance)}`, "history:", ...lines].join("\n"),
  );
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

/** Cases of histories. */
export const cases: readonly LabCase[] = [
  {
    name: `differential: 200 sequences of ${STEPS} steps (seed ${SEED})`,
    limitMs: 600_000,
    run: (context) => compare(context, 200, SEED),
  },
  {
    name: `differential: 2,000 sequences of ${STEPS} steps`,
    limitMs: 3 * 3_600_000,
    async run(context) {
      const { long } = context;
      if (long === undefined) return context.skip("it takes long: deno task lab:diff");
      await compare(context, 2000, long.seed);
    },
  },
];
