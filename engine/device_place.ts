/**
 * Where a device sits: the way from its function up to the root.
 *
 * @module
 */
import { isPciAddress } from "../host/address.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DevicePlace } from "./observers/device_files.ts";

/**
 * Walks up from a function.
 *
 * @param entry the function
 * @param at finds a function of the same snapshot by its address
 * @returns its place; it ends below a bridge that the snapshot does not have
 */
export function placeOf(
  entry: SnapshotFunction,
  at: (address: string) => SnapshotFunction | undefined,
): DevicePlace {
  const above = new Set<string>();
  const slots = entry.slot === undefined ? [] : [entry.slot];
  for (let parent = entry.parent; isPciAddress(parent) && !above.has(parent);) {
    above.add(parent);
    const bridge = at(parent);
    if (bridge?.slot !== undefined) slots.push(bridge.slot);
    parent = bridge?.parent ?? "";
  }
  const { address, physfn } = entry;
  return { address, above: [...above], slots, ...(physfn === undefined ? {} : { physfn }) };
}
