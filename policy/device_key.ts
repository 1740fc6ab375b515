/**
 * Which devices are the same one, as far as policies can tell: those with equal matches.
 *
 * @module
 */
import type { DeviceMatch } from "./model.ts";

/** The lists of a match; absent and empty mean the same. */
type MatchLists = Partial<Pick<DeviceMatch, "id" | "address" | "subsystem" | "class">>;

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
export function deviceKey(match: MatchLists): string {
  const lists = [match.id, match.address, match.subsystem, match.class];
  return JSON.stringify(lists.map((list) => [...new Set(list ?? [])].sort()));
}
