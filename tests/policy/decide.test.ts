import assert from "node:assert/strict";
import fc from "fast-check";
import { type AccessRequest, Decider } from "../../policy/decide.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { DenyRule, ExportRule, Policy, PolicySet, SliceRule } from "../../policy/model.ts";

const AT = { file: "x", line: 1, column: 1, endLine: 1, endColumn: 1 };
const placed = <T>(value: T) => ({ value, at: AT });

const IMPORTERS = ["eng", "tgt"] as const;
/** `twin` has the match of `ssd`: a deny of one holds for the other. */
const DEVICES = [["ssd", "1b36:0010"], ["twin", "1b36:0010"], ["gpu", "10de:2230"]] as const;
const BARS = [0, 2] as const;

const anySlice = fc.record({
  offset: fc.bigInt(0n, 24n),
  length: fc.oneof(fc.bigInt(1n, 8n), fc.constant("rest" as const)),
}).map((slice): SliceRule => ({ ...slice, at: AT }));
const anyDevice = fc.constantFrom(...DEVICES.map(([name]) => name)).map(placed);

const anyExport = fc.record({
  device: anyDevice,
  bar: fc.constantFrom(...BARS).map(placed),
  slices: fc.array(anySlice, { minLength: 1, maxLength: 3 }),
  importers: fc.uniqueArray(fc.constantFrom(...IMPORTERS), { minLength: 1 })
    .map((names) => names.map(placed)),
  access: fc.constantFrom("read-only" as const, "read-write" as const),
}).map((rule): ExportRule => ({
  ...rule,
  name: "e",
  qualifiedName: "p/e",
  onReset: "revoke",
  graceMs: 0,
  allowProtected: [],
  at: AT,
}));

const anyDeny = fc.record({
  device: anyDevice,
  reason: fc.constant("because"),
  at: fc.constant(AT),
}, { requiredKeys: ["device", "reason", "at"] }).chain((rule) =>
  fc.oneof(
    fc.constant<DenyRule>(rule),
    fc.constantFrom(...BARS).map((bar): DenyRule => ({ ...rule, bar })),
    fc.tuple(fc.constantFrom(...BARS), fc.array(anySlice, { minLength: 1, maxLength: 2 }))
      .map(([bar, slices]): DenyRule => ({ ...rule, bar, slices })),
  )
);

function policyOf(name: string, exports: readonly ExportRule[], deny: readonly DenyRule[]): Policy {
  const devices = DEVICES.map(([device, id]) =>
    [device, { name: device, match: { id: [id], at: AT }, acquire: "open", at: AT }] as const
  );
  return { name, devices: new Map(devices), importers: new Map(), exports, deny, at: AT };
}

const anySet = fc.array(
  fc.tuple(fc.array(anyExport, { maxLength: 5 }), fc.array(anyDeny, { maxLength: 2 })),
  { minLength: 1, maxLength: 2 },
).map((bodies): PolicySet => ({
  policies: bodies.map(([exports, deny], index) => policyOf(`p${index}`, exports, deny)),
  digest: "",
}));

const anyRequest = fc.record({
  policy: fc.constantFrom("p0", "p1"),
  importer: fc.constantFrom(...IMPORTERS, "nobody"),
  device: fc.constantFrom(...DEVICES.map(([name]) => name), "none"),
  bar: fc.constantFrom(...BARS),
  offset: fc.bigInt(0n, 30n),
  length: fc.bigInt(0n, 10n),
  access: fc.constantFrom("read-only" as const, "read-write" as const),
});

function contains(slice: SliceRule, byte: bigint): boolean {
  return byte >= slice.offset && (slice.length === "rest" || byte < slice.offset + slice.length);
}

function idOf(set: PolicySet, policy: string, device: string): string | undefined {
  return set.policies.find((p) => p.name === policy)?.devices.get(device)?.match.id?.[0];
}

/** Byte by byte, rule by rule. */
function slowDecision(set: PolicySet, request: AccessRequest): string {
  const bytes: bigint[] = [];
  for (let b = request.offset; b < request.offset + request.length; b++) bytes.push(b);
  const id = idOf(set, request.policy, request.device);
  const denied = set.policies.some((policy) =>
    policy.deny.some((rule) =>
      id !== undefined && idOf(set, policy.name, rule.device.value) === id &&
      (rule.bar === undefined || rule.bar === request.bar) &&
      bytes.some((b) => rule.slices === undefined || rule.slices.some((s) => contains(s, b)))
    )
  );
  if (denied) return "denied";
  const rules = set.policies.find((p) => p.name === request.policy)?.exports ?? [];
  const fitting = rules.filter((rule) =>
    rule.device.value === request.device && rule.bar.value === request.bar &&
    rule.importers.some((name) => name.value === request.importer) &&
    (request.access === "read-only" || rule.access === "read-write")
  );
  const covered = bytes.length > 0 &&
    bytes.every((b) => fitting.some((rule) => rule.slices.some((s) => contains(s, b))));
  return covered ? "allowed" : "no-rule";
}

Deno.test("Decider agrees with deciding byte by byte", () => {
  fc.assert(
    fc.property(anySet, fc.array(anyRequest, { minLength: 1, maxLength: 8 }), (set, requests) => {
      const decider = new Decider(set);
      for (const request of requests) {
        assert.equal(decider.decide(request).outcome, slowDecision(set, request));
      }
    }),
    { numRuns: 1500 },
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

Deno.test("Decider allows nothing empty, negative or past 64 bits", () => {
  for (const [offset, length] of [[0n, 0n], [-1n, 2n], [8192n, 1n << 64n]] as const) {
    assert.equal(demo().decide({ ...REQUEST, offset, length }).outcome, "no-rule");
  }
});
