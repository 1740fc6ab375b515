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
  const { id, address, subsystem, class: classes, serial, driver, iommuGroup, numaNode } = match;
  const sizes = [...match.barSizes ?? []].map(([bar, list]) => `${bar} ${ordered(list).join(" ")}`);
  const lists = [id, address, subsystem, classes, driver, iommuGroup, sizes].map(ordered);
  // What is absent leaves no trace, so that a digest outlives a language that learns a key.
  const later = Object.entries({ serial, numaNode })
    .flatMap(([field, list]) => list === undefined ? [] : [[field, ...ordered(list)]])
    .filter((list) => list.length > 1);
  return JSON.stringify([...lists, ...later]);
}

/** Each once, in an order of its own. */
function ordered(list: readonly (string | number | bigint)[] = []): readonly string[] {
  return [...new Set(list.map(String))].sort();
}
