/**
 * Reset domains, as far as a snapshot tells: which devices are reset together.
 *
 * @module
 */
import { isPciAddress } from "../host/address.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DevicePlace } from "./observers/device_files.ts";

/** Another device that a reset would hit. */
export interface HitTogether {
  readonly address: string;
  /** Whose reset hits both: a physical function, or a bridge above both. */
  readonly through: string;
}

/**
 * The other devices that a reset of more than the function would hit: of the physical function, or of
 * a bridge above both (a hot reset is one of the nearest).
 *
 * @param place of the device
 * @param others any devices, the device itself among them or not
 * @returns each other device once, with the nearest that is common
 *
 * @example
 * ```ts
 * import { hitTogether } from "./reset_domain.ts";
 *
 * const at = (address: string) => ({ address, above: ["0000:00:01.0"], slots: [] });
 * const [other] = hitTogether(at("0000:01:00.0"), [at("0000:01:00.0"), at("0000:01:00.1")]);
 * if (other?.through !== "0000:00:01.0") throw new Error("one bus");
 * ```
 */
export function hitTogether(
  place: DevicePlace,
  others: readonly DevicePlace[],
): readonly HitTogether[] {
  const hit = new Map<string, HitTogether>();
  const above = new Set(place.above);
  for (const other of others) {
    const through = other.address === place.address ? undefined : common(place, above, other);
    if (through !== undefined) hit.set(other.address, { address: other.address, through });
  }
  return [...hit.values()];
}

/** What is above two functions is the same from the nearest bridge on that is above both. */
function common(
  place: DevicePlace,
  above: ReadonlySet<string>,
  other: DevicePlace,
): string | undefined {
  const physical = other.physfn ?? other.address;
  if (physical === (place.physfn ?? place.address)) return physical;
  return other.above.find((bridge) => above.has(bridge));
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

/** A function of the host that is reset together with a device. */
export interface Neighbour extends HitTogether {
  /** `vvvv:dddd` */
  readonly id: string;
  readonly driver?: string;
}

/**
 * The functions that a reset of the device's physical function, or of the bus that it sits on, would
 * hit; a root bus cannot be reset.
 *
 * @param host a snapshot
 * @returns finds the others of a device of it, in the snapshot's order; takes time linear in what is
 *   on the bus and below, and in the number of the physical function's virtual ones
 */
export function neighboursIn(
  host: HostSnapshot,
): (entry: SnapshotFunction) => readonly Neighbour[] {
  const { functions } = host;
  const below = Map.groupBy(functions, ({ parent }) => parent);
  const virtual = Map.groupBy(functions, ({ physfn, address }) => physfn ?? address);
  const order = new Map(functions.map((each, index) => [each, index]));
  const buses = new Map<string, readonly SnapshotFunction[]>();
  const onBus = (bridge: string) => {
    const known = buses.get(bridge) ?? subtree(bridge, below);
    buses.set(bridge, known);
    return known;
  };
  return (entry) => {
    const own = entry.physfn ?? entry.address;
    const found = new Map<SnapshotFunction, string>();
    for (const each of virtual.get(own) ?? []) found.set(each, own);
    if (isPciAddress(entry.parent)) {
      for (const each of onBus(entry.parent)) {
        if (!found.has(each)) found.set(each, entry.parent);
      }
    }
    found.delete(entry);
    return [...found].sort(([a], [b]) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
      .map(([{ address, vendor, device, driver }, through]) => ({
        address,
        through,
        id: `${vendor}:${device}`,
        ...(driver === undefined ? {} : { driver }),
      }));
  };
}

/** All that is below a bridge, however deep. */
function subtree(
  bridge: string,
  below: ReadonlyMap<string, readonly SnapshotFunction[]>,
): readonly SnapshotFunction[] {
  const found = new Set(below.get(bridge));
  // What is added here is walked through in its turn.
  for (const { address } of found) {
    for (const each of below.get(address) ?? []) found.add(each);
  }
  return [...found];
}
