/**
 * Reset domains, as far as a snapshot tells: which devices are reset together.
 *
 * @module
 */
import { comparePciAddresses, isPciAddress } from "../host/address.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DevicePlace } from "./observers/device_files.ts";

/** Another device that a reset would hit. */
export interface HitTogether {
  readonly address: string;
  /** Whose reset hits both: a physical function, or a bridge above both. */
  readonly through: string;
}

/**
 * Why two devices are reset together: the same physical function, or a bridge above both (a hot reset
 * is one of the nearest).
 *
 * @param place of a device
 * @param above of that device: the bridges above it
 * @param other another device
 * @returns whose reset hits both, the nearest that is common; undefined: none hits both
 *
 * @example
 * ```ts
 * import { resetThrough } from "./reset_domain.ts";
 *
 * const at = (address: string) => ({ address, above: ["0000:00:01.0"], slots: [] });
 * const [one, other] = [at("0000:01:00.0"), at("0000:01:00.1")];
 * if (resetThrough(one, new Set(one.above), other) !== "0000:00:01.0") throw new Error("one bus");
 * ```
 */
export function resetThrough(
  place: Pick<DevicePlace, "address" | "physfn">,
  above: ReadonlySet<string>,
  other: Pick<DevicePlace, "address" | "physfn" | "above">,
): string | undefined {
  const physical = physicalOf(other);
  if (physical === physicalOf(place)) return physical;
  // What is above two functions is the same from the nearest bridge on that is above both.
  return other.above.find((bridge) => above.has(bridge));
}

/** @returns the physical function of a virtual one; of others, themselves */
export function physicalOf({ address, physfn }: Pick<DevicePlace, "address" | "physfn">): string {
  return physfn ?? address;
}

/**
 * Whether a device goes with the reset of any of these functions: it is one of them, or a virtual
 * function of one.
 *
 * @param place of the device
 * @param functions addresses
 */
export function isHitWith(
  { address, physfn }: Pick<DevicePlace, "address" | "physfn">,
  functions: readonly string[],
): boolean {
  return functions.includes(address) || (physfn !== undefined && functions.includes(physfn));
}

/**
 * The functions that a reset of a device's physical function, or of the bus that it sits on, would hit,
 * itself among them. Virtual functions sit on the bus of their physical one; a root bus has no reset.
 *
 * @param host a snapshot
 * @returns finds those of a function of it, by address. Lists are shared: all together take time and
 *   memory linear in the number of functions, times that of the bridges above each other
 */
export function domainsIn(
  host: HostSnapshot,
): (entry: SnapshotFunction) => readonly SnapshotFunction[] {
  const functions = host.functions.toSorted((a, b) => comparePciAddresses(a.address, b.address));
  const families = Map.groupBy(functions, physicalOf);
  const below = Map.groupBy(functions, ({ parent }) => parent);
  const buses = new Map<string, readonly SnapshotFunction[]>();
  return (entry) => {
    const { parent } = entry;
    if (!isPciAddress(parent)) return families.get(physicalOf(entry)) ?? [];
    const found = buses.get(parent) ?? subtree(parent, below);
    buses.set(parent, found);
    return found;
  };
}

/** All that is below a bridge, however deep. */
function subtree(
  bridge: string,
  below: ReadonlyMap<string, readonly SnapshotFunction[]>,
): readonly SnapshotFunction[] {
  const found = new Set(below.get(bridge));
  const beside = found.size;
  // What is added here is walked through in its turn.
  for (const { address } of found) {
    for (const each of below.get(address) ?? []) found.add(each);
  }
  const all = [...found];
  return all.length === beside
    ? all
    : all.sort((a, b) => comparePciAddresses(a.address, b.address));
}
