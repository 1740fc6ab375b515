/**
 * What two policy sets allow differently, computed on what they mean: who may have which bytes of
 * which device, after all denies, and on which terms.
 *
 * @module
 */
import { DeniedBytes, type FunctionKind, FunctionKinds } from "./denied_bytes.ts";
import { deviceKey } from "./device_key.ts";
import { compareTerms, HeldTerms, type TermChange } from "./diff_terms.ts";
import { type Interval, normalized, subtract } from "./interval.ts";
import type {
  DeviceMatch,
  DeviceRule,
  ExportRule,
  ImporterRule,
  Policy,
  PolicySet,
} from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { intervalOf } from "./slices.ts";

/** What can be held of bytes. Who may write may read. */
export const LEVELS = ["read", "write", "msix-table", "msix-pba"] as const;
/** One of {@linkcode LEVELS}. */
export type Level = typeof LEVELS[number];

/** Bytes of one BAR that one importer is allowed differently. */
export interface Difference {
  /**
   * `gained`: the importer had nothing of the BAR; `widened`: it had less; `narrowed`: it had more;
   * `lost`: it has nothing of it any more.
   */
  readonly kind: "gained" | "lost" | "widened" | "narrowed";
  /** `policy/importer` */
  readonly importer: string;
  /** `policy/device` */
  readonly device: string;
  readonly bar: number;
  readonly level: Level;
  /** Of this region, of which only the host knows where it is in the BAR, what is in the bytes. */
  readonly region?: "nvme.cmb";
  readonly bytes: readonly Interval[];
  /**
   * Devices, as `policy/device`, that the function must be as well: it is so on hosts where it has
   * the match of one of them too. Absent: whichever function it is.
   */
  readonly where?: readonly string[];
}

/** Bytes of one BAR that one importer holds on other terms. */
export type TermDifference =
  & TermChange
  & Pick<Difference, "importer" | "device" | "bar" | "region">;

/** One importer on one BAR of one device: by name and by what the names stand for. */
interface Holding {
  readonly importer: string;
  readonly device: string;
  readonly bar: number;
  readonly region?: "nvme.cmb";
  readonly match: DeviceMatch;
  /** Before denies; normalized. */
  readonly levels: ReadonlyMap<Level, readonly Interval[]>;
  readonly terms: HeldTerms;
}

/** What one set allows. */
class Allowed {
  readonly holdings: ReadonlyMap<string, Holding>;
  readonly denied: DeniedBytes;

  constructor(set: PolicySet) {
    this.holdings = holdings(set);
    this.denied = new DeniedBytes(set);
  }

  /** @returns bytes that are allowed on functions of one kind */
  bytes(key: string, level: Level, { match }: FunctionKind): readonly Interval[] {
    const holding = this.holdings.get(key);
    const slices = holding?.levels.get(level);
    if (holding === undefined || slices === undefined) return [];
    return subtract(slices, this.denied.of(match, holding.bar));
  }
}

/**
 * Compares two policy sets.
 *
 * @returns differences in order of names; none exactly when no request tells the two apart on any
 * host. A name that stands for somebody else (another identity, another match, another owner that it
 * is borrowed from) is another importer or device. A deny of a device that may be the same function
 * as that of a rule counts where it is: without it more is allowed there
 */
export function diffPolicies(before: PolicySet, after: PolicySet): readonly Difference[] {
  const [old, now] = [new Allowed(before), new Allowed(after)];
  const kinds = new FunctionKinds(old.denied, now.denied);
  const keys = [...new Set([...old.holdings.keys(), ...now.holdings.keys()])].sort();
  return keys.flatMap((key) => compare(key, old, now, kinds));
}

/**
 * Compares the terms of what both sets allow.
 *
 * @returns differences in order of names
 */
export function diffTerms(before: PolicySet, after: PolicySet): readonly TermDifference[] {
  const [old, now] = [new Allowed(before), new Allowed(after)];
  return [...now.holdings].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([key, is]) => {
    const was = old.holdings.get(key);
    if (was === undefined) return [];
    const { importer, device, bar, region } = is;
    const place = { importer, device, bar, ...(region === undefined ? {} : { region }) };
    const [had, has] = [old, now].map((set) => set.bytes(key, "read", is));
    const kept = subtract(has ?? [], subtract(has ?? [], had ?? []));
    return compareTerms(was.terms, is.terms, kept).map((change) => ({ ...change, ...place }));
  });
}

function compare(key: string, old: Allowed, now: Allowed, all: FunctionKinds): Difference[] {
  const holding = now.holdings.get(key) ?? old.holdings.get(key);
  if (holding === undefined) return [];
  const { importer, device, bar, region, match } = holding;
  const kinds = all.of(match, bar);
  return LEVELS.flatMap((level) => {
    const place = { importer, device, bar, level, ...(region === undefined ? {} : { region }) };
    return [
      ...changes(kinds, (kind) => gain(key, level, old, now, kind), ["gained", "widened"]),
      ...changes(kinds, (kind) => gain(key, level, now, old, kind), ["lost", "narrowed"]),
    ].map(({ kind, bytes, where }) => ({
      kind,
      ...place,
      bytes,
      ...(where.length === 0 ? {} : { where }),
    }));
  });
}

/** What one set allows on functions of a kind and the other does not. */
interface Gain {
  readonly bytes: readonly Interval[];
  /** Whether the other allows something of the BAR. */
  readonly had: boolean;
}

function gain(key: string, level: Level, from: Allowed, to: Allowed, kind: FunctionKind): Gain {
  const bytes = subtract(to.bytes(key, level, kind), from.bytes(key, level, kind));
  return { bytes, had: from.bytes(key, "read", kind).length > 0 };
}

/** First what is so of all functions, then what is so of some only. */
function changes(
  kinds: readonly FunctionKind[],
  gainOf: (kind: FunctionKind) => Gain,
  [first, more]: readonly [Difference["kind"], Difference["kind"]],
): readonly Required<Pick<Difference, "kind" | "bytes" | "where">>[] {
  const own = kinds.filter(({ also }) => also === undefined).map(gainOf);
  const anywhere = normalized(own.flatMap(({ bytes }) => bytes));
  const word = (had: boolean) => had ? more : first;
  const somewhere = kinds.flatMap((kind) => {
    const { bytes, had } = kind.also === undefined ? NO_GAIN : gainOf(kind);
    const rest = subtract(bytes, anywhere);
    if (kind.also === undefined || rest.length === 0) return [];
    return [{ kind: word(had), bytes: rest, also: kind.also }];
  });
  const alike = Map.groupBy(
    somewhere,
    ({ kind, bytes }) => `${kind} ${bytes.map(({ start, end }) => `${start} ${end}`).join()}`,
  );
  const all = { kind: word(own.some(({ had }) => had)), bytes: anywhere, where: [] };
  return [
    ...(anywhere.length === 0 ? [] : [all]),
    ...[...alike.values()].flatMap((same) => {
      const [one] = same;
      const where = [...new Set(same.map(({ also }) => also))].sort();
      return one === undefined ? [] : [{ kind: one.kind, bytes: one.bytes, where }];
    }),
  ];
}

const NO_GAIN: Gain = { bytes: [], had: false };

/** A region can be anywhere in its BAR. */
const ALL: Interval = { start: 0n, end: QUANTITY_LIMIT };

/** Slices by level, before denies. */
type Collected = Omit<Holding, "levels"> & { readonly slices: Map<Level, Interval[]> };

function holdings(set: PolicySet): ReadonlyMap<string, Holding> {
  const collected = new Map<string, Collected>();
  for (const policy of set.policies) {
    for (const rule of policy.exports) collect(policy, rule, collected);
  }
  return new Map([...collected].map(([key, { slices, ...place }]) => {
    const levels = new Map([...slices].map(([level, list]) => [level, normalized(list)]));
    return [key, { ...place, levels }];
  }));
}

function collect(policy: Policy, rule: ExportRule, collected: Map<string, Collected>): void {
  const device = policy.devices.get(rule.device.value);
  if (device === undefined) return;
  const hidden = rule.region?.value === "nvme.cmb" ? rule.region.value : undefined;
  const intervals = hidden === undefined ? rule.slices.map(intervalOf) : [ALL];
  for (const { value } of rule.importers) {
    const importer = policy.importers.get(value);
    if (importer === undefined) continue;
    const holding = holdingOf(policy, importer, device, rule.bar.value, hidden, collected);
    holding.terms.add(rule, device, intervals);
    for (const level of levelsOf(rule)) {
      const list = holding.slices.get(level) ?? [];
      for (const interval of intervals) list.push(interval);
      holding.slices.set(level, list);
    }
  }
}

function holdingOf(
  policy: Policy,
  importer: ImporterRule,
  device: DeviceRule,
  bar: number,
  region: "nvme.cmb" | undefined,
  collected: Map<string, Collected>,
): Collected {
  const names = [`${policy.name}/${importer.name}`, `${policy.name}/${device.name}`] as const;
  const way = [device.acquire, ownerKey(device), device.many];
  const full = JSON.stringify([
    ...names,
    bar,
    region,
    importerKey(importer),
    way,
    deviceKey(device.match),
  ]);
  const known = collected.get(full);
  if (known !== undefined) return known;
  const where = { bar, ...(region === undefined ? {} : { region }) };
  const made = {
    importer: names[0],
    device: names[1],
    ...where,
    match: device.match,
    slices: new Map(),
    terms: new HeldTerms(),
  };
  collected.set(full, made);
  return made;
}

/** Equal for owners that are the same process, found in the same way. */
function ownerKey({ owner }: DeviceRule): readonly string[] {
  return Object.entries(owner ?? {}).map(([field, { value }]) => `${field}=${value}`).sort();
}

/** Equal for importers that are the same processes, reached in the same way. */
function importerKey({ identity, driver, mapping, device }: ImporterRule): string {
  const who = Object.entries(identity).map(([field, { value }]) => `${field}=${value}`).sort();
  const { address, id, rdma, drm, nvme } = device ?? {};
  return JSON.stringify([who, driver.value, mapping, address, id, rdma, drm, nvme]);
}

function levelsOf({ access, allowProtected }: ExportRule): readonly Level[] {
  const guarded = allowProtected.map(({ range }) => range);
  return ["read", ...(access === "read-write" ? ["write" as const] : []), ...new Set(guarded)];
}
