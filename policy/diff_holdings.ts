/**
 * What a policy set lets each importer hold: by name and by what the names stand for.
 *
 * @module
 */
import { DeniedBytes, type FunctionKind } from "./denied_bytes.ts";
import { deviceKey } from "./device_key.ts";
import { type Level, levelsOf } from "./diff_levels.ts";
import { HeldTerms } from "./diff_terms.ts";
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

/** One importer on one BAR of one device: by name and by what the names stand for. */
export interface Holding {
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
export class Allowed {
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
