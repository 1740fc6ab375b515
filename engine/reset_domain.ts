/**
 * Reset domains, as far as a snapshot tells: which devices are reset together.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { placeOf } from "./device_place.ts";
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
  for (const other of others) {
    const through = other.address === place.address ? undefined : common(place, other);
    if (through !== undefined) hit.set(other.address, { address: other.address, through });
  }
  return [...hit.values()];
}

function common(place: DevicePlace, other: DevicePlace): string | undefined {
  const physical = other.physfn ?? other.address;
  if (physical === (place.physfn ?? place.address)) return physical;
  return place.above.find((bridge) => other.above.includes(bridge));
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
 * @returns finds the others of a device of it, in the snapshot's order
 */
export function neighboursIn(
  host: HostSnapshot,
): (entry: SnapshotFunction) => readonly Neighbour[] {
  const byAddress = new Map(host.functions.map((each) => [each.address, each]));
  const place = (each: SnapshotFunction) => placeOf(each, (address) => byAddress.get(address));
  const places = host.functions.map(place);
  return (entry) => {
    const own = place(entry);
    const near = new Set([own.physfn ?? own.address, own.above[0]]);
    return hitTogether(own, places).filter(({ through }) => near.has(through))
      .map((hit) => {
        const { vendor, device, driver } = byAddress.get(hit.address) ?? entry;
        return { ...hit, id: `${vendor}:${device}`, ...(driver === undefined ? {} : { driver }) };
      });
  };
}
