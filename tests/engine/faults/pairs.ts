/**
 * Random pairs of faults.
 *
 * @module
 */
import fc from "fast-check";
import { faultsOf } from "./faulty_kernel.ts";
import { describe, type Placed, runWith } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { Scenario } from "./story.ts";

/** Two picks of a fault: the second is made among the calls that follow the first fault. */
const pair = fc.tuple(fc.nat(SCENARIOS.length - 1), fc.nat(), fc.nat(), fc.nat(), fc.nat());

/**
 * Runs random pairs.
 *
 * @param runs how many
 * @param seed of the choice
 * @throws with the pair that breaks an invariant
 */
export async function tryPairs(runs: number, seed: number): Promise<void> {
  const holds = fc.asyncProperty(pair, async ([story, call1, fault1, call2, fault2]) => {
    const scenario = SCENARIOS[story];
    if (scenario === undefined) return;
    const first = await pick(scenario, [], call1, fault1);
    const second = await pick(scenario, [first], call2, fault2);
    const placed = [first, second];
    const { calls, violations } = await runWith(scenario, placed);
    if (violations.length === 0) return;
    const told = placed.map((each) => describe(each, calls)).join("; ");
    throw new Error(`${scenario.name}: ${told}\n  ${violations.join("\n  ")}`);
  });
  await fc.assert(holds, { numRuns: runs, seed, endOnFailure: true });
}

/** One more fault, of a call after the others. */
async function pick(
  scenario: Scenario,
  before: readonly Placed[],
  call: number,
  fault: number,
): Promise<Placed> {
  const { calls } = await runWith(scenario, before);
  const from = (before[0]?.at ?? -1) + 1;
  for (let tried = 0;; tried++) {
    const at = from >= calls.length
      ? calls.length - 1
      : from + (call + tried) % (calls.length - from);
    const one = calls[at];
    const all = one === undefined ? [] : faultsOf(one);
    const chosen = all[fault % all.length];
    if (chosen !== undefined) return { at, fault: chosen };
  }
}
