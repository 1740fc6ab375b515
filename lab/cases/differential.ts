/** Random histories on the simulation and on the real kernel, compared step by step. @module */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { difference, shortened, shown, type Step } from "../../conformance/differential.ts";
import { histories } from "../../conformance/random_steps.ts";
import { SimWorld } from "../../conformance/sim_world.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { directLane } from "../guest/direct_lane.ts";
import { KernelWorld } from "../guest/kernel_world.ts";

const STEPS = 20;
/** Histories of one case, and of all long ones together. */
const RUN = 200;
const LONG_RUN = 2000;

/** Numbers that begin a row of histories; a difference names its own. */
const SEED = 20260923;

async function compare(context: CaseContext, runs: number, seed: number): Promise<void> {
  const real = new KernelWorld(directLane("differential")).enter(context);
  context.defer(() => real.close());
  const differ = (steps: readonly Step[]) => difference(steps, [new SimWorld(), real]);
  const begun = performance.now();
  for (const steps of fc.sample(histories(STEPS), { numRuns: runs, seed })) {
    if (await differ(steps) === undefined) continue;
    const shortest = await shortened(steps, async (shorter) => await differ(shorter) !== undefined);
    const lines = shortest.map((step, index) => `  ${index + 1}. ${shown(step)}`);
    assert.fail(["the sides differ after", ...lines, await differ(shortest)].join("\n"));
  }
  context.figure("sequences", runs);
  context.figure("steps of each", STEPS);
  context.figure("seed", seed);
  context.figure("ms each", Math.round((performance.now() - begun) / runs));
}

/** Cases of histories. */
export const cases: readonly LabCase[] = [
  {
    name: `differential: ${RUN} sequences of ${STEPS} steps (seed ${SEED})`,
    limitMs: 600_000,
    run: (context) => compare(context, RUN, SEED),
  },
  ...Array.from({ length: LONG_RUN / RUN }, (_, part): LabCase => ({
    name: `differential: 2,000 sequences of ${STEPS} steps, from ${part * RUN + 1} on`,
    limitMs: 30 * 60_000,
    async run(context) {
      const { long } = context;
      if (long === undefined) return context.skip("it takes long: deno task lab:diff");
      await compare(context, RUN, long.seed + part);
    },
  })),
];
