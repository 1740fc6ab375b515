/**
 * A part of a snapshot that is whole by itself: some functions, and what decisions about them rest on.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import { namesAmong } from "./device_names.ts";
import type { HostSnapshot, SnapshotFunction } from "./snapshot.ts";

/**
 * Takes out what `readSnapshot` would read of such a host if only some functions were wanted: these,
 * their IOMMU groups and what is reset together with them, the bridges above and the physical
 * functions of all of them, and the first function of their root buses.
 *
 * @param snapshot of a host
 * @param wanted addresses; those that the host does not have are passed over
 * @returns the part, in the same order; nothing is in it that the snapshot does not say. Takes time
 *   linear in the number of functions
 */
export function partOfSnapshot(
  snapshot: HostSnapshot,
  wanted: ReadonlySet<string>,
): HostSnapshot {
  const { functions } = snapshot;
  const chosen = functions.filter(({ address }) => wanted.has(address));
  if (chosen.length === functions.length) return snapshot;
  const part = new Set([...chosen, ...besides(functions, chosen)]);
  const at = new Map(functions.map((entry) => [entry.address, entry]));
  const firsts = firstOnRootBuses(functions);
  // What is added here is walked through in its turn.
  for (const { parent, physfn } of part) {
    const above = isPciAddress(parent) ? at.get(parent) : firsts.get(parent);
    const physical = physfn === undefined ? undefined : at.get(physfn);
    for (const entry of [above, physical]) if (entry !== undefined) part.add(entry);
  }
  return namesAmong({ ...snapshot, functions: functions.filter((entry) => part.has(entry)) });
}

/** What is in one group with them, on one bus that is no root bus, or of one physical function. */
function besides(
  functions: readonly SnapshotFunction[],
  chosen: readonly SnapshotFunction[],
): readonly SnapshotFunction[] {
  const groups = new Set(chosen.map(({ iommuGroup }) => iommuGroup));
  const buses = new Set(chosen.map(({ parent }) => parent).filter(isPciAddress));
  const physical = new Set(chosen.map(({ address, physfn }) => physfn ?? address));
  return functions.filter(({ iommuGroup, parent, physfn }) =>
    iommuGroup !== undefined && groups.has(iommuGroup) || buses.has(parent) ||
    physfn !== undefined && physical.has(physfn)
  );
}

function firstOnRootBuses(
  functions: readonly SnapshotFunction[],
): ReadonlyMap<string, SnapshotFunction> {
  const firsts = new Map<string, SnapshotFunction>();
  for (const entry of functions) {
    const known = firsts.get(entry.parent);
    if (known === undefined || entry.address < known.address) firsts.set(entry.parent, entry);
  }
  return firsts;
}
