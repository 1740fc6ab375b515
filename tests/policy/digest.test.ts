import assert from "node:assert/strict";
import fc from "fast-check";
import { diffPolicies, diffTerms } from "../../policy/diff.ts";
import { digestOf } from "../../policy/digest.ts";
import type { DenyRule, DeviceMatch, Policy, PolicySet, SliceRule } from "../../policy/model.ts";
import { anySet } from "./random_sets.ts";
import { runs } from "../support/runs.ts";

/** Reverses everything of which the order means nothing, and changes what is for people. */
function rewritten(policy: Policy): Policy {
  const reversed = <K, V>(map: ReadonlyMap<K, V>, change: (value: V) => V) =>
    new Map([...map].reverse().map(([key, value]) => [key, change(value)] as const));
  const labels = new Map([["note", "another"]]);
  return {
    ...policy,
    description: "the same",
    labels,
    devices: reversed(policy.devices, (device) => ({
      ...device,
      match: reversedMatch(device.match),
      labels,
    })),
    importers: reversed(policy.importers, (importer) => ({ ...importer, labels })),
    exports: policy.exports.toReversed().map((rule) => ({
      ...rule,
      importers: rule.importers.toReversed(),
      labels,
    })),
    deny: policy.deny.toReversed().flatMap(denied),
  };
}

const AT = { file: "y", line: 9, column: 9, endLine: 9, endColumn: 9 };
const EVERYTHING: SliceRule = { offset: 0n, length: "rest", at: AT };

/** The same bytes denied in other words: BAR by BAR, in halves, one of them twice. */
function denied(rule: DenyRule): readonly DenyRule[] {
  const bars = rule.bar === undefined ? [5, 4, 3, 2, 1, 0] : [rule.bar];
  const slices = (rule.slices ?? [EVERYTHING]).toReversed().flatMap(halves);
  const [first] = slices;
  return bars.flatMap((bar) => [
    { ...rule, bar, slices },
    ...(first === undefined ? [] : [{ ...rule, bar, slices: [first] }]),
  ]);
}

function halves(slice: SliceRule): readonly SliceRule[] {
  const { offset, length } = slice;
  if (length === 1n) return [slice];
  const half = length === "rest" ? 4096n : length / 2n;
  const rest = length === "rest" ? length : length - half;
  return [{ ...slice, offset: offset + half, length: rest }, { ...slice, length: half }];
}

function reversedMatch(match: DeviceMatch): DeviceMatch {
  const entries = Object.entries(match).map(([field, value]) =>
    [field, Array.isArray(value) ? [...value.toReversed(), value[0]] : value] as const
  );
  const sizes = [...match.barSizes ?? []].map(([bar, list]) => [bar, list.toReversed()] as const);
  return { ...Object.fromEntries(entries), barSizes: new Map(sizes), at: match.at };
}

Deno.test("the digest does not count order, repetition, labels, descriptions and how denies are cut", () => {
  fc.assert(
    fc.property(anySet, ({ policies }) => {
      const other = policies.toReversed().map(rewritten);
      assert.equal(digestOf(other), digestOf(policies));
      const differences = diffPolicies(setOf(policies), setOf(other));
      assert.deepEqual(differences, []);
      assert.deepEqual(diffTerms(setOf(policies), setOf(other)), []);
    }),
    { numRuns: runs(300) },
  );
});

function setOf(policies: readonly Policy[]): PolicySet {
  return { policies, digest: "" };
}
