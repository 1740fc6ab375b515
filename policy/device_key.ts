/**
 * Which devices are the same one, as far as policies can tell: those with equal matches.
 *
 * @module
 */
import type { DeviceMatch } from "./model.ts";

/** The fields of a match; absent and empty mean the same. */
type MatchFields = Partial<Omit<DeviceMatch, "at">>;

/**
 * A text that is equal for equal matches. Lists are any-of, so their order does not matter.
 *
 * @example
 * ```ts
 * import { deviceKey } from "./device_key.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(deviceKey({ id: ["a", "b"] }), deviceKey({ id: ["b", "a"] }));
 * ```
 */
export function deviceKey(match: MatchFields): string {
  const { id, address, subsystem, class: classes, driver, iommuGroup } = match;
  const lists = [id, address, subsystem, classes, driver, iommuGroup?.map(String)];
  const sizes = [...match.barSizes ?? []].map(([bar, size]) => `${bar} ${size}`);
  return JSON.stringify([...lists, sizes].map((list) => [...new Set(list ?? [])].sort()));
}
