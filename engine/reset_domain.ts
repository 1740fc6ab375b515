/**
 * Reset domains, as far as a snapshot tells: which devices are reset together.
 *
 * @module
 */
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
