/**
 * From drafts without mistakes to the model.
 *
 * @module
 */
import {
  type Choice,
  type DenyDraft,
  type DeviceDraft,
  type ExportDraft,
  type ImporterDraft,
  type MatchDraft,
  type OwnerDraft,
  type PolicyDraft,
  readSlices,
} from "./draft.ts";
import type {
  DenyRule,
  DeviceMatch,
  DeviceRule,
  ExportRule,
  ImporterRule,
  OwnerIdentity,
  Policy,
} from "./model.ts";
import { mergeAdjacent } from "./slices.ts";

/**
 * Builds a policy from a draft in which nothing was wrong.
 *
 * @throws {TypeError} when something that the schema requires is not there
 */
export function buildPolicy(draft: PolicyDraft): Policy {
  const name = required(draft.name, "metadata.name").value;
  return {
    name,
    ...(draft.description === undefined ? {} : { description: draft.description }),
    ...labelled(draft.labels),
    devices: mapValues(draft.devices, buildDevice),
    importers: mapValues(draft.importers, buildImporter),
    exports: draft.exports.map((rule) => buildExport(name, rule)),
    deny: draft.deny.map(buildDeny),
    at: draft.at,
  };
}

function labelled(labels: ReadonlyMap<string, string>): Pick<Policy, "labels"> {
  return labels.size === 0 ? {} : { labels };
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new TypeError(`Cannot build the policy: ${what} is missing`);
  return value;
}

function chosen<T extends string>({ value }: Choice<T>): T {
  if (value === "unread") throw new TypeError("Cannot build the policy: a word is unread");
  return value;
}

function mapValues<A, B>(
  map: ReadonlyMap<string, A>,
  build: (value: A) => B,
): ReadonlyMap<string, B> {
  return new Map([...map].map(([name, value]) => [name, build(value)]));
}

function buildDevice(draft: DeviceDraft): DeviceRule {
  const { name, match, acquire, owner, many, enableCmb, labels, at } = draft;
  return {
    name,
    match: buildMatch(required(match, "match")),
    acquire: chosen(acquire),
    ...(owner === undefined ? {} : { owner: buildOwner(owner) }),
    ...(many === undefined ? {} : { many: true as const }),
    ...(enableCmb === undefined ? {} : { enableCmb: true as const }),
    ...labelled(labels),
    at,
  };
}

const MATCH_LISTS = [
  "id",
  "address",
  "subsystem",
  "class",
  "serial",
  "driver",
  "iommuGroup",
  "numaNode",
] as const;

function buildMatch(fields: MatchDraft): DeviceMatch {
  const given = MATCH_LISTS.filter((key) => fields[key].length > 0);
  const lists: Omit<DeviceMatch, "at"> = Object.fromEntries(given.map((key) => [key, fields[key]]));
  const { barSizes, at } = fields;
  return { ...lists, ...(barSizes.size === 0 ? {} : { barSizes }), at };
}

function buildOwner({ at: _, ...identity }: OwnerDraft): OwnerIdentity {
  return identity;
}

function buildImporter(draft: ImporterDraft): ImporterRule {
  const { name, identity, mapping, device, labels, at } = draft;
  return {
    name,
    identity,
    driver: required(draft.driver, "driver"),
    mapping: chosen(mapping),
    ...(device === undefined ? {} : { device }),
    ...labelled(labels),
    at,
  };
}

function buildExport(policy: string, draft: ExportDraft): ExportRule {
  const name = required(draft.name, "name").value;
  return {
    name,
    qualifiedName: `${policy}/${name}`,
    device: required(draft.device, "device"),
    bar: required(draft.bar, "bar"),
    slices: mergeAdjacent(readSlices(draft.slices)),
    ...(draft.region === undefined ? {} : { region: draft.region }),
    importers: draft.importers,
    access: chosen(draft.access),
    onReset: chosen(draft.onReset),
    graceMs: draft.grace.value,
    ...(draft.expires === undefined ? {} : { expiresMs: draft.expires.value }),
    ...(draft.collateral === undefined ? {} : { collateral: draft.collateral.value }),
    ...(draft.revocation === undefined ? {} : { revocation: draft.revocation.value }),
    ...(draft.shared === undefined ? {} : { shared: true as const }),
    ...labelled(draft.labels),
    allowProtected: draft.allowProtected,
    at: draft.at,
  };
}

function buildDeny(draft: DenyDraft): DenyRule {
  return {
    device: required(draft.device, "device"),
    ...(draft.bar === undefined ? {} : { bar: draft.bar }),
    ...(draft.slices === undefined ? {} : { slices: readSlices(draft.slices) }),
    reason: draft.reason,
    at: draft.at,
  };
}
