/**
 * What a device must be, to be the one that a plan means.
 *
 * @module
 */
import type { HoldKind } from "./device_hold.ts";
import type { OwnerIdentity } from "../policy/model.ts";
import type { RouteTarget } from "./group_access.ts";
import type { DevicePlace } from "./observers/device_files.ts";
import type { PlannedMemory } from "./planned_memory.ts";
import type { ProtectedRange } from "./protected_ranges.ts";

/** What a device must be to be the one that the plan means. */
export interface DeviceTarget extends RouteTarget, DevicePlace {
  /** `vvvv:dddd` */
  readonly id: string;
  /** `vvvv:dddd`; absent where the header has none. */
  readonly subsystem: string | undefined;
  /** Six hexadecimal digits. */
  readonly class: string;
  /** Its Device Serial Number; absent where it has none, or none was seen. */
  readonly serial?: string;
  /** Where its MSI-X structures lie, in whole pages. */
  readonly protectedRanges: readonly ProtectedRange[];
  /** Whose device fd is borrowed; absent: Bargate opens the device itself. */
  readonly owner?: OwnerIdentity;
  /** Bytes of each implemented memory BAR. */
  readonly barSizes: ReadonlyMap<number, bigint>;
  /** What can be tried to hold all its buffers revoked, in order; of a borrowed device nothing. */
  readonly holds: readonly HoldKind[];
  /** Where its memory buffer must be; absent: no rule exports that. */
  readonly controllerMemory?: PlannedMemory;
}
