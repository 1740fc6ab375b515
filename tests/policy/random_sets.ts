/**
 * Random policy sets and requests, and the slow, obvious answer to each request.
 */
import fc from "fast-check";
import type { AccessRequest } from "../../policy/decide.ts";
import type { DenyRule, ExportRule, Policy, PolicySet, SliceRule } from "../../policy/model.ts";

const AT = { file: "x", line: 1, column: 1, endLine: 1, endColumn: 1 };
const placed = <T>(value: T) => ({ value, at: AT });

const IMPORTERS = ["eng", "tgt"] as const;
/** `twin` has the match of `ssd`: a deny of one holds for the other. */
const DEVICES = [["ssd", "1b36:0010"], ["twin", "1b36:0010"], ["gpu", "10de:2230"]] as const;
const BARS = [0, 2] as const;
/** Above every slice but `rest`. */
const TOP = 40n;

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
  const importers = IMPORTERS.map((importer) =>
    [importer, {
      name: importer,
      identity: { user: placed(importer) },
      driver: placed("iommufd"),
      mapping: "bargate",
      at: AT,
    }] as const
  );
  return {
    name,
    devices: new Map(devices),
    importers: new Map(importers),
    exports,
    deny,
    at: AT,
  };
}

/** One or two policies with a few rules each. */
export const anySet: fc.Arbitrary<PolicySet> = fc.array(
  fc.tuple(fc.array(anyExport, { maxLength: 5 }), fc.array(anyDeny, { maxLength: 2 })),
  { minLength: 1, maxLength: 2 },
).map((bodies) => ({
  policies: bodies.map(([exports, deny], index) => policyOf(`p${index}`, exports, deny)),
  digest: "",
}));

/** Requests near to the rules, some by nobody and for nothing. */
export const anyRequest: fc.Arbitrary<AccessRequest> = fc.record({
  policy: fc.constantFrom("p0", "p1"),
  importer: fc.constantFrom(...IMPORTERS, "nobody"),
  device: fc.constantFrom(...DEVICES.map(([name]) => name), "none"),
  bar: fc.constantFrom(...BARS),
  offset: fc.bigInt(0n, 30n),
  length: fc.bigInt(0n, 10n),
  access: fc.constantFrom("read-only" as const, "read-write" as const),
});

/** Every request of one byte that could tell two random sets apart. */
export function* everyByte(): Generator<AccessRequest, undefined> {
  for (const policy of ["p0", "p1"]) {
    for (const importer of IMPORTERS) {
      for (const [device] of DEVICES) {
        for (const bar of BARS) {
          for (const access of ["read-only", "read-write"] as const) {
            for (let offset = 0n; offset < TOP; offset++) {
              yield { policy, importer, device, bar, access, offset, length: 1n };
            }
          }
        }
      }
    }
  }
}

function contains(slice: SliceRule, byte: bigint): boolean {
  return byte >= slice.offset && (slice.length === "rest" || byte < slice.offset + slice.length);
}

function idOf(set: PolicySet, policy: string, device: string): string | undefined {
  return set.policies.find((p) => p.name === policy)?.devices.get(device)?.match.id?.[0];
}

/** Byte by byte, rule by rule. */
export function slowDecision(set: PolicySet, request: AccessRequest): string {
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
