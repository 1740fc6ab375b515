/**
 * Random policy sets and requests, and the slow, obvious answer to each request.
 */
import fc from "fast-check";
import type { AccessRequest } from "../../policy/decide.ts";
import type {
  DenyRule,
  DeviceMatch,
  DeviceRule,
  ExportRule,
  Policy,
  PolicySet,
  SliceRule,
} from "../../policy/model.ts";

const AT = { file: "x", line: 1, column: 1, endLine: 1, endColumn: 1 };
const placed = <T>(value: T) => ({ value, at: AT });

const IMPORTERS = ["eng", "tgt"] as const;
/** `twin` often has the match of `ssd`: a deny of one then holds for the other. */
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

/**
 * Selectors beside the id, mostly none, some of them the same written in another order, some of them
 * wider than others.
 */
const anySelectors: fc.Arbitrary<Omit<DeviceMatch, "at">> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  fc.constantFrom(["a", "b"], ["b", "a"], ["b", "a", "b"], ["a"]).map((serial) => ({ serial })),
  fc.constantFrom([0, 1], [1, 0], [1]).map((numaNode) => ({ numaNode })),
  fc.constantFrom([16n, 32n], [32n, 16n], [16n]).map((sizes) => ({
    barSizes: new Map([[2, sizes]]),
  })),
  fc.record({
    serial: fc.constantFrom(["a", "b"], ["a"]),
    class: fc.constantFrom(["01"], ["0108", "02"], ["010802"]),
  }, { requiredKeys: [] }),
);

/** Some say nothing of the id; none says nothing. */
function selectorsOf(id: string): fc.Arbitrary<Omit<DeviceMatch, "at">> {
  return fc.tuple(anySelectors, fc.nat(4)).map(([selectors, silent]) =>
    silent === 0 && Object.keys(selectors).length > 0 ? selectors : { id: [id], ...selectors }
  );
}

const anyDevices = fc.tuple(
  ...DEVICES.map(([name, id]) =>
    fc.tuple(selectorsOf(id), fc.nat(4)).map(([selectors, many]): DeviceRule => ({
      name,
      match: { ...selectors, at: AT },
      acquire: "open",
      ...(many === 0 ? { many: true } : {}),
      at: AT,
    }))
  ),
);

function policyOf(
  name: string,
  devices: readonly DeviceRule[],
  exports: readonly ExportRule[],
  deny: readonly DenyRule[],
): Policy {
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
    devices: new Map(devices.map((device) => [device.name, device])),
    importers: new Map(importers),
    exports,
    deny,
    at: AT,
  };
}

/** One or two policies with a few rules each. */
export const anySet: fc.Arbitrary<PolicySet> = fc.array(
  fc.tuple(anyDevices, fc.array(anyExport, { maxLength: 5 }), fc.array(anyDeny, { maxLength: 2 })),
  { minLength: 1, maxLength: 2 },
).map((bodies) => ({
  policies: bodies.map(([devices, exports, deny], index) =>
    policyOf(`p${index}`, devices, exports, deny)
  ),
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

function matchOf(set: PolicySet, policy: string, device: string): DeviceMatch | undefined {
  return set.policies.find((p) => p.name === policy)?.devices.get(device)?.match;
}

function sameItems<T>(a: readonly T[] = [], b: readonly T[] = []): boolean {
  return a.every((item) => b.includes(item)) && b.every((item) => a.includes(item));
}

/** Whether two matches say the same, in whatever order. */
export function sameMatch(a: DeviceMatch, b: DeviceMatch): boolean {
  return sameItems(a.id, b.id) && sameItems(a.serial, b.serial) && sameItems(a.class, b.class) &&
    sameItems(a.numaNode, b.numaNode) && sameItems(a.barSizes?.get(2), b.barSizes?.get(2));
}

/** A function as far as the random matches can tell. */
export interface AnyFunction {
  readonly id: string;
  readonly serial: string;
  readonly numaNode: number;
  readonly size: bigint;
  readonly class: string;
}

/** One of each kind that the random matches tell apart; of each field also one that none names. */
const FUNCTIONS: readonly AnyFunction[] = ["1b36:0010", "10de:2230", "none"].flatMap((id) =>
  ["a", "b", "none"].flatMap((serial) =>
    [0, 1, 9].flatMap((numaNode) =>
      [16n, 32n, 64n].flatMap((size) =>
        ["010802", "010801", "010600", "020000", "030000"].map((code) => ({
          id,
          serial,
          numaNode,
          size,
          class: code,
        }))
      )
    )
  )
);

/** Whether a function has a match. */
export function isOne(one: AnyFunction, match: DeviceMatch): boolean {
  const among = <T>(list: readonly T[] | undefined, value: T) => list?.includes(value) ?? true;
  return among(match.id, one.id) && among(match.serial, one.serial) &&
    among(match.numaNode, one.numaNode) && among(match.barSizes?.get(2), one.size) &&
    (match.class?.some((prefix) => one.class.startsWith(prefix)) ?? true);
}

const known = new WeakMap<DeviceMatch, readonly AnyFunction[]>();

/** All functions that have a match. */
export function functionsOf(match: DeviceMatch): readonly AnyFunction[] {
  const found = known.get(match) ?? FUNCTIONS.filter((one) => isOne(one, match));
  known.set(match, found);
  return found;
}

/** Whether there is no function that has the first match and not the second. */
function isInside(narrow: DeviceMatch, wide: DeviceMatch): boolean {
  return functionsOf(narrow).every((one) => isOne(one, wide));
}

/** Whether one byte is allowed on one function, whatever denies fall on that. */
export function allowedOn(set: PolicySet, one: AnyFunction, request: AccessRequest): boolean {
  const rules = { ...set, policies: set.policies.map((policy) => ({ ...policy, deny: [] })) };
  if (slowDecision(rules, request) !== "allowed") return false;
  return !set.policies.some(({ deny, devices }) =>
    deny.some(({ device, bar, slices }) => {
      const match = devices.get(device.value)?.match;
      return match !== undefined && isOne(one, match) &&
        (bar === undefined || bar === request.bar) &&
        (slices?.some((slice) => contains(slice, request.offset)) ?? true);
    })
  );
}

/** Byte by byte, rule by rule. */
export function slowDecision(set: PolicySet, request: AccessRequest): string {
  const bytes: bigint[] = [];
  for (let b = request.offset; b < request.offset + request.length; b++) bytes.push(b);
  const match = matchOf(set, request.policy, request.device);
  const isHit = (other: DeviceMatch | undefined) =>
    match !== undefined && other !== undefined && isInside(match, other);
  const denied = set.policies.some((policy) =>
    policy.deny.some((rule) =>
      isHit(matchOf(set, policy.name, rule.device.value)) &&
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
