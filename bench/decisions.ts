/**
 * Decisions a second, of Bargate and of general policy engines on the same rules.
 *
 * @module
 */
import { type AccessRequest, Decider } from "../policy/decide.ts";
import { loadPolicySet } from "../policy/load.ts";
import { median } from "./median.ts";
import { placeOf, policyText } from "./rules.ts";

const ROUNDS = 7;
const REQUESTS = 4096;

/** How large a policy is: rules, and slices to a rule. */
export type Size = readonly [rules: number, slices: number];

/**
 * Decisions a second for each size, medians of rounds. Sizes take turns, so that what else the
 * machine does hits all alike.
 */
export function bargateDecisions(sizes: readonly Size[]): readonly number[] {
  const runs = sizes.map(runOf);
  const rounds = Array.from({ length: ROUNDS }, () => runs.map((run) => run()));
  return runs.map((_, index) => median(rounds.map((rates) => rates[index] ?? NaN)));
}

/** @returns a round: decisions a second for some time */
function runOf([rules, slices]: Size): () => number {
  const { set } = loadPolicySet([{ file: "bench.yaml", text: policyText(rules, slices) }]);
  if (set === undefined) throw new Error("Cannot bench an invalid policy");
  const decider = new Decider(set);
  const requests = someRequests(rules, slices);
  return () => {
    const start = performance.now();
    let decided = 0;
    let allowed = 0;
    while (performance.now() - start < 200) {
      for (const request of requests) {
        if (decider.decide(request).outcome === "allowed") allowed += 1;
      }
      decided += requests.length;
    }
    if (allowed !== decided) throw new Error("Cannot bench requests that are not allowed");
    return decided / (performance.now() - start) * 1000;
  };
}

/** All are allowed, and spread over all rules. */
function someRequests(rules: number, slices: number): readonly AccessRequest[] {
  return Array.from({ length: REQUESTS }, (_, index) => ({
    policy: "bench",
    importer: "engine",
    ...placeOf(Math.floor(index * rules / REQUESTS), rules, slices),
    length: 4096n,
    access: "read-write" as const,
  }));
}
