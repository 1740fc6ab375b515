/**
 * Whether a device is the one that a plan means: everything that rules match on, and where its
 * protected pages lie.
 *
 * @module
 */
import { serialOf } from "../host/serial.ts";
import type { DeviceTarget } from "./device_target.ts";
import { type ProtectedRange, protectedRanges } from "./protected_ranges.ts";

/** What is seen of a device. */
export interface SeenIdentity {
  readonly id: string | undefined;
  readonly subsystem: string | undefined;
  readonly class: string | undefined;
  /** Its configuration space, with the list of capabilities. */
  readonly config: Uint8Array;
}

/**
 * Holds ids, class and MSI-X against the plan.
 *
 * @param target the planned device
 * @param seen of the device
 * @param pageSize bytes
 * @returns the first difference; absent: none
 */
export function identityDrift(
  target: DeviceTarget,
  seen: SeenIdentity,
  pageSize: number,
): string | undefined {
  const fields: readonly (readonly [string, string | undefined, string | undefined])[] = [
    ["id", target.id, seen.id],
    ["subsystem", target.subsystem, seen.subsystem],
    ["class", target.class, seen.class],
    [
      "MSI-X",
      rangesText(target.protectedRanges),
      rangesText(protectedRanges(seen.config, pageSize)),
    ],
  ];
  const [different] = fields.filter(([, planned, found]) => planned !== found);
  if (different === undefined) return undefined;
  const [what, planned, found] = different;
  return `its ${what} is ${found}, and not ${planned}`;
}

/**
 * Holds the serial number against the plan, if the plan has one.
 *
 * @param target the planned device
 * @param config all that can be read of the device's configuration space
 * @returns the difference; absent: none
 */
export function serialDrift({ serial }: DeviceTarget, config: Uint8Array): string | undefined {
  if (serial === undefined) return undefined;
  const found = serialOf({ config });
  if (found.is === "known" && found.serial === serial) return undefined;
  const seen = found.is === "known" ? found.serial : found.is;
  return `its serial number is ${seen}, and not ${serial}`;
}

function rangesText(ranges: readonly ProtectedRange[] | undefined): string {
  if (ranges === undefined) return "unknown";
  const texts = ranges.map(({ what, bar, offset, length }) =>
    `${what} in BAR ${bar} at 0x${offset.toString(16)}, 0x${length.toString(16)} bytes`
  );
  return texts.length === 0 ? "none" : texts.join(", ");
}
