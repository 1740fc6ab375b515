import assert from "node:assert/strict";
import fc from "fast-check";
import { diffPolicies } from "../../policy/diff.ts";
import { digestOf } from "../../policy/digest.ts";
import type { DeviceMatch, Policy, PolicySet } from "../../policy/model.ts";
import { anySet } from "./random_sets.ts";

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
    deny: policy.deny.toReversed(),
  };
}

function reversedMatch(match: DeviceMatch): DeviceMatch {
  const entries = Object.entries(match).map(([field, value]) =>
    [field, Array.isArray(value) ? [...value.toReversed(), value[0]] : value] as const
  );
  const sizes = [...match.barSizes ?? []].map(([bar, list]) => [bar, list.toReversed()] as const);
  return { ...Object.fromEntries(entries), barSizes: new Map(sizes), at: match.at };
}

Deno.test("the digest does not count order, repetition, labels and descriptions", () => {
  fc.assert(
    fc.property(anySet, ({ policies }) => {
      const other = policies.toReversed().map(rewritten);
      assert.equal(digestOf(other), digestOf(policies));
      const differences = diffPolicies(setOf(policies), setOf(other));
      assert.deepEqual(differences, []);
    }),
    { numRuns: 300 },
  );
});

Deno.test("sets that allow different things have different digests", () => {
  fc.assert(
    fc.property(anySet, anySet, (a, b) => {
      if (diffPolicies(a, b).length === 0) return;
      assert.notEqual(digestOf(a.policies), digestOf(b.policies));
    }),
    { numRuns: 300 },
  );
});

function setOf(policies: readonly Policy[]): PolicySet {
  return { policies, digest: "" };
}
