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

/** Decisions a second, median of the rounds. */
export function bargateDecisions(rules: number, slices: number): number {
  const { set } = loadPolicySet([{ file: "bench.yaml", text: policyText(rules, slices) }]);
  if (set === undefined) throw new Error("Cannot bench an invalid policy");
  const decider = new Decider(set);
  const requests = someRequests(rules, slices);
  const rates = Array.from({ length: ROUNDS }, () => {
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
  });
  return median(rates);
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
