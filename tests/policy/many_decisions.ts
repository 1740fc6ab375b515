/**
 * The properties of decisions at length: the whole of what `deno task test` does in part.
 *
 * Run: `deno task test:long [RUNS]`, default 100,000 random policy sets with a request each.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Decider } from "../../policy/decide.ts";
import { anyRequest, anySet, slowDecision } from "./random_sets.ts";

const numRuns = Number(Deno.args[0] ?? 100_000);
const outcomes = new Map<string, number>();

fc.assert(
  fc.property(anySet, anyRequest, (set, request) => {
    const { outcome } = new Decider(set).decide(request);
    assert.equal(outcome, slowDecision(set, request));
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }),
  { numRuns },
);
console.log(
  `${numRuns} random sets and requests agree with the oracle:`,
  Object.fromEntries(outcomes),
);
