import assert from "node:assert/strict";
import fc from "fast-check";
import { Decider } from "../../policy/decide.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { nearMisses } from "../../policy/near_misses.ts";
import { anyRequest, anySet, slowDecision } from "./random_sets.ts";
import { runs } from "../support/runs.ts";

Deno.test("Decider agrees with deciding byte by byte", () => {
  fc.assert(
    fc.property(anySet, fc.array(anyRequest, { minLength: 1, maxLength: 8 }), (set, requests) => {
      const decider = new Decider(set);
      for (const request of requests) {
        assert.equal(decider.decide(request).outcome, slowDecision(set, request));
      }
    }),
    { numRuns: runs(1500) },
  );
});

const POLICY = `
apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
exports:
  - { name: low, device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [engine], collateral: device }
  - { name: high, device: ssd, bar: 2, slices: [{ offset: 8KiB, length: rest }], importers: [engine], collateral: device }
deny:
  - { device: ssd, bar: 0, reason: registers }
`;
const REQUEST = {
  policy: "demo",
  importer: "engine",
  device: "ssd",
  bar: 2,
  access: "read-write",
} as const;

function demo(): Decider {
  const { set } = loadPolicySet([{ file: "demo.yaml", text: POLICY }]);
  assert.ok(set);
  return new Decider(set);
}

Deno.test("near misses are no hits: each lacks something, those first that lack least", () => {
  fc.assert(
    fc.property(anySet, anyRequest, (set, request) => {
      if (new Decider(set).decide(request).outcome !== "no-rule" || request.length === 0n) return;
      const counts = nearMisses(set, request).map(({ lacks }) => lacks.length);
      assert.ok(counts.every((count) => count > 0));
      assert.deepEqual(counts, counts.toSorted((a, b) => a - b));
    }),
    { numRuns: runs(500) },
  );
});

Deno.test("Decider names the rules that allow, across the border of two", () => {
  const decision = demo().decide({ ...REQUEST, offset: 4096n, length: 8192n });
  assert.ok(decision.outcome === "allowed");
  assert.deepEqual(decision.rules.map((rule) => rule.qualifiedName), ["demo/low", "demo/high"]);
});

Deno.test("Decider tells a deny from the absence of a rule", () => {
  const denied = demo().decide({ ...REQUEST, bar: 0, offset: 0n, length: 1n });
  assert.ok(denied.outcome === "denied");
  assert.equal(denied.rule.reason, "registers");
  assert.equal(demo().decide({ ...REQUEST, bar: 1, offset: 0n, length: 1n }).outcome, "no-rule");
});

Deno.test("Decider takes no byte as allowed by a region that only the host knows", () => {
  const text = POLICY.replace(
    / {2}- \{ name: low.*\n.*\n/,
    "  - { name: cmb, device: ssd, bar: 2, region: nvme.cmb, importers: [engine] }\n",
  );
  const { set } = loadPolicySet([{ file: "demo.yaml", text }]);
  assert.ok(set);
  const request = { ...REQUEST, offset: 0n, length: 4096n };
  assert.equal(new Decider(set).decide(request).outcome, "no-rule");
  assert.deepEqual(nearMisses(set, request).map(({ lacks }) => lacks), [
    [{ what: "region", region: "nvme.cmb" }],
  ]);
});

Deno.test("Decider allows nothing empty, negative or past 64 bits", () => {
  for (const [offset, length] of [[0n, 0n], [-1n, 2n], [8192n, 1n << 64n]] as const) {
    assert.equal(demo().decide({ ...REQUEST, offset, length }).outcome, "no-rule");
  }
});
