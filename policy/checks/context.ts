/**
 * What checks work on: all drafts of a set, and where to tell what they find.
 *
 * @module
 */
import { deviceKey } from "../device_key.ts";
import type { DeviceDraft, ExportDraft, MatchDraft, PolicyDraft, Report } from "../draft.ts";
import type { Placed } from "../model.ts";
import { WiderMatches } from "../wider_matches.ts";

/** The page size that offsets and lengths are held against. */
export interface PageSize {
  readonly bytes: bigint;
  /** Nobody said it; messages do. */
  readonly assumed: boolean;
}

/** The key of a match that says nothing. */
const NOTHING = deviceKey({});

/** Everything a check needs. */
export interface CheckContext {
  readonly drafts: readonly PolicyDraft[];
  readonly pageSize: PageSize;
  /** Whether every document could be read: only then is what is nowhere known to be nowhere. */
  readonly whole: boolean;
  readonly report: Report;
}

/** An export with the policy it is in. */
export interface ExportInPolicy {
  readonly policy: PolicyDraft;
  readonly rule: ExportDraft;
}

/** All exports of a set. */
export function allExports(drafts: readonly PolicyDraft[]): readonly ExportInPolicy[] {
  return drafts.flatMap((policy) => policy.exports.map((rule) => ({ policy, rule })));
}

/** Equal for devices that are the same; absent when the device is unknown. */
export function keyOfDevice(
  policy: PolicyDraft,
  name: Placed<string> | undefined,
): string | undefined {
  const device = deviceOf(policy, name);
  return device === undefined ? undefined : keyOf(device);
}

/** The device that a rule names, absent when the policy has none of this name. */
export function deviceOf(
  policy: PolicyDraft,
  name: Placed<string> | undefined,
): DeviceDraft | undefined {
  return name === undefined ? undefined : policy.devices.get(name.value);
}

/** Checks ask for the key of a device with every rule that names it. */
const keys = new WeakMap<DeviceDraft, string>();

/** Whether Bargate opens it for certain: an owner is told, and may mean that it is borrowed. */
export function isOpened({ acquire, owner }: DeviceDraft): boolean {
  return acquire.value === "open" && owner === undefined;
}

/** A match that could not be read is equal to no other. */
export function keyOf(device: DeviceDraft): string {
  const known = keys.get(device);
  if (known !== undefined) return known;
  const { match, name, at } = device;
  const key = match === undefined ? NOTHING : deviceKey(match);
  const own = key === NOTHING ? `${at.file}:${at.line}:${at.column}:${name}` : key;
  keys.set(device, own);
  return own;
}

/**
 * The match of a device, absent when some of it could not be read: what is left of such a one is wider
 * or narrower than what was meant.
 */
export function wholeMatch({ sound }: PolicyDraft, device: DeviceDraft): MatchDraft | undefined {
  const { match } = device;
  if (!sound || match === undefined || deviceKey(match) === deviceKey({})) return undefined;
  return match;
}

/** What there is of one match, found by it or by a narrower one. */
export interface Matched<T> {
  readonly match: MatchDraft | undefined;
  readonly value: T;
}

/** @returns of each entry, those that are wider than it, itself left out; none where either is unreadable */
export function widerOf<T>(entries: readonly Matched<T>[]): (entry: Matched<T>) => readonly T[] {
  const index = new WiderMatches(
    entries.flatMap(({ match, value }) => match === undefined ? [] : [{ match, value }]),
  );
  return ({ match, value }) =>
    match === undefined ? [] : index.impliedBy(match).filter((other) => other !== value);
}
