/**
 * What two policy sets allow differently, computed on what they mean: who may have which bytes of
 * which device, after all denies, and on which terms.
 *
 * @module
 */
import { deviceKey } from "./device_key.ts";
import { compareTerms, HeldTerms, type TermChange } from "./diff_terms.ts";
import { type Interval, normalized, subtract } from "./interval.ts";
import type { DeviceRule, ExportRule, ImporterRule, Policy, PolicySet } from "./model.ts";
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
  /** The bytes are all of this region, of which only the host knows where it is in the BAR. */
  readonly region?: "nvme.cmb";
  readonly bytes: readonly Interval[];
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
  readonly levels: ReadonlyMap<Level, readonly Interval[]>;
  readonly terms: HeldTerms;
}

/**
 * Compares two policy sets.
 *
 * @returns differences in order of names; none exactly when no request tells the two apart. A name
 * that stands for somebody else (another identity, another match, another owner that it is borrowed
 * from) is another importer or device
 */
export function diffPolicies(before: PolicySet, after: PolicySet): readonly Difference[] {
  const [old, now] = [holdings(before), holdings(after)];
  const keys = [...new Set([...old.keys(), ...now.keys()])].sort();
  return keys.flatMap((key) => compare(old.get(key), now.get(key)));
}

/**
 * Compares the terms of what both sets allow.
 *
 * @returns differences in order of names
 */
export function diffTerms(before: PolicySet, after: PolicySet): readonly TermDifference[] {
  const [old, now] = [holdings(before), holdings(after)];
  return [...now].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([key, is]) => {
    const was = old.get(key);
    if (was === undefined) return [];
    const { importer, device, bar, region } = is;
    const place = { importer, device, bar, ...(region === undefined ? {} : { region }) };
    const [had, has] = [was, is].map(({ levels }) => levels.get("read") ?? []);
    const kept = subtract(has ?? [], subtract(has ?? [], had ?? []));
    return compareTerms(was.terms, is.terms, kept).map((change) => ({ ...change, ...place }));
  });
}

function compare(old: Holding | undefined, now: Holding | undefined): readonly Difference[] {
  const holding = now ?? old;
  if (holding === undefined) return [];
  const { importer, device, bar, region } = holding;
  const of = (from: Holding | undefined, level: Level) => from?.levels.get(level) ?? [];
  const [had, has] = [of(old, "read").length > 0, of(now, "read").length > 0];
  return LEVELS.flatMap((level) => {
    const more = subtract(of(now, level), of(old, level));
    const less = subtract(of(old, level), of(now, level));
    const place = { importer, device, bar, level, ...(region === undefined ? {} : { region }) };
    return [
      { kind: had ? "widened" as const : "gained" as const, ...place, bytes: more },
      { kind: has ? "narrowed" as const : "lost" as const, ...place, bytes: less },
    ].filter(({ bytes }) => bytes.length > 0);
  });
}

/** All bytes of a region, in its own numbers. */
const ALL: Interval = { start: 0n, end: QUANTITY_LIMIT };

/** Slices by level, before denies. */
type Collected = Omit<Holding, "levels"> & {
  readonly key: string;
  readonly slices: Map<Level, Interval[]>;
};

function holdings(set: PolicySet): ReadonlyMap<string, Holding> {
  const denied = denials(set);
  const collected = new Map<string, Collected>();
  for (const policy of set.policies) {
    for (const rule of policy.exports) collect(policy, rule, collected);
  }
  const finished = [...collected].map(([name, { key, slices, ...place }]) => {
    const taken = takenFrom(place, denied.get(`${key} ${place.bar}`) ?? []);
    const levels = new Map(
      [...slices].map(([level, list]) => [level, subtract(normalized(list), taken)]),
    );
    return [name, { ...place, levels }] as const;
  });
  return new Map(finished);
}

/** What part of a region a deny takes is seen on the host; without one that takes all, none is. */
function takenFrom(
  { region }: Pick<Holding, "region">,
  denied: readonly Interval[],
): readonly Interval[] {
  return region === undefined || subtract([ALL], denied).length === 0 ? denied : [];
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
  const key = deviceKey(device.match);
  const way = [device.acquire, ownerKey(device), device.many];
  const full = JSON.stringify([...names, bar, region, importerKey(importer), way, key]);
  const known = collected.get(full);
  if (known !== undefined) return known;
  const where = { bar, ...(region === undefined ? {} : { region }) };
  const made = {
    importer: names[0],
    device: names[1],
    ...where,
    key,
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

/** Denied bytes by device and BAR. */
function denials(set: PolicySet): ReadonlyMap<string, readonly Interval[]> {
  const lists = new Map<string, Interval[]>();
  for (const { devices, deny } of set.policies) {
    for (const rule of deny) {
      const match = devices.get(rule.device.value)?.match;
      if (match === undefined) continue;
      const intervals = rule.slices?.map(intervalOf) ?? [{ start: 0n, end: QUANTITY_LIMIT }];
      for (const bar of rule.bar === undefined ? [0, 1, 2, 3, 4, 5] : [rule.bar]) {
        const key = `${deviceKey(match)} ${bar}`;
        lists.set(key, [...lists.get(key) ?? [], ...intervals]);
      }
    }
  }
  return new Map([...lists].map(([key, list]) => [key, normalized(list)]));
}
