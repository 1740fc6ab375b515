/**
 * Names that stand for somebody else in another policy set, and by what.
 *
 * @module
 */
import type {
  DeviceRule,
  ImporterIdentity,
  ImporterRule,
  OwnerIdentity,
  PolicySet,
} from "./model.ts";

/** One field in which what a name stands for differs; absent: not given. */
export interface ChangedField {
  /** As in the policy: `identity.unit`, `match.address`. */
  readonly field: string;
  readonly old?: string;
  readonly new?: string;
}

/** A name that two sets have, each for another. */
export interface ChangedName {
  /** `policy/name` */
  readonly name: string;
  readonly is: "importer" | "device";
  readonly fields: readonly ChangedField[];
}

type Fields = ReadonlyMap<string, string>;

/**
 * Finds importers and devices that stand for others than before, by whatever `diffPolicies` tells
 * them apart.
 *
 * @returns in the order of the policies before, importers first
 */
export function changedNames(before: PolicySet, after: PolicySet): readonly ChangedName[] {
  return [
    ...changed("importer", importersOf(before), importersOf(after)),
    ...changed("device", devicesOf(before), devicesOf(after)),
  ];
}

function changed(
  is: ChangedName["is"],
  before: ReadonlyMap<string, Fields>,
  after: ReadonlyMap<string, Fields>,
): readonly ChangedName[] {
  return [...before].flatMap(([name, old]) => {
    const now = after.get(name);
    const fields = now === undefined ? [] : differing(old, now);
    return fields.length === 0 ? [] : [{ name, is, fields }];
  });
}

function differing(before: Fields, after: Fields): readonly ChangedField[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((field) => {
    const [old, now] = [before.get(field), after.get(field)];
    if (old === now) return [];
    return [{
      field,
      ...(old === undefined ? {} : { old }),
      ...(now === undefined ? {} : { new: now }),
    }];
  });
}

function importersOf({ policies }: PolicySet): ReadonlyMap<string, Fields> {
  return new Map(
    policies.flatMap(({ name, importers }) =>
      [...importers.values()].map((importer) =>
        [`${name}/${importer.name}`, importerFields(importer)] as const
      )
    ),
  );
}

function devicesOf({ policies }: PolicySet): ReadonlyMap<string, Fields> {
  return new Map(
    policies.flatMap(({ name, devices }) =>
      [...devices.values()].map((device) =>
        [`${name}/${device.name}`, deviceFields(device)] as const
      )
    ),
  );
}

function importerFields({ identity, driver, mapping, device }: ImporterRule): Fields {
  const { address, id, rdma, drm, nvme } = device ?? {};
  return new Map([
    ...placedFields("identity", identity),
    ["driver", driver.value],
    ["mapping", mapping],
    ...Object.entries({ address, id, rdma, drm, nvme }).flatMap(([field, value]) =>
      value === undefined ? [] : [[`device.${field}`, value] as const]
    ),
  ]);
}

function deviceFields({ match, acquire, owner, many }: DeviceRule): Fields {
  const { barSizes, at: _, ...lists } = match;
  return new Map([
    ...Object.entries(lists).map(([field, list]) => [`match.${field}`, listText(list)] as const),
    ...[...barSizes ?? []].map(([bar, sizes]) =>
      [`match.barSizes.${bar}`, listText(sizes)] as const
    ),
    ["acquire", acquire],
    ...placedFields("owner", owner ?? {}),
    ...(many === undefined ? [] : [["many", "true"] as const]),
  ]);
}

function placedFields(
  of: string,
  fields: ImporterIdentity | OwnerIdentity,
): readonly (readonly [string, string])[] {
  return Object.entries(fields).map(([field, { value }]) => [`${of}.${field}`, value]);
}

/** In an order of its own: of a list, any holds. */
function listText(list: readonly (string | number | bigint)[]): string {
  return [...new Set(list.map(String))].sort().join(", ");
}
