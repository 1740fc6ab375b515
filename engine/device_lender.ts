/**
 * The ways to a copy of an owner's device fd, for the moment of an export: it is taken from the
 * owner, or the owner sends it.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import type { Clock } from "./clock.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { isVfioDevice } from "./process_descriptors.ts";

/** What is around a borrowed device. */
export interface BorrowContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly files: Files;
  /** The device's. */
  readonly lane: Lane;
}

/** A copy of the device fd. While it is open, the owner's close closes nothing. */
export interface LentDevice {
  readonly device: Fd;
  /** Closes it. */
  giveBack(): Promise<void>;
}

/** A way to copies of one owner's device fd. */
export interface DeviceLender {
  /** The owner. */
  readonly pid: number;
  /** The same; the lender's to close. */
  readonly pidfd: Fd;
  /** Where calls on a copy are made. */
  readonly lane: Lane;
  /**
   * Comes by a copy, and makes sure that it is of the device.
   *
   * @throws {IdentityDriftError} if it is of something else
   * @throws {RefusedError} if there is none to be had
   */
  lend(): Promise<LentDevice>;
  /** Whether the owner has the device open still; absent: Bargate may not look. */
  hasDeviceOpen(): Promise<boolean | undefined>;
  dispose(): Promise<void>;
}

/**
 * What a descriptor is instead of the device that it should be. Neither its link nor its fdinfo asks
 * the file itself, which may be a stranger's.
 *
 * @param lane whose table has it, or can get it
 * @param fd from anywhere
 * @param address of the device
 * @returns in words; absent: it is the device
 * @throws {KernelError} if the descriptor cannot be looked at
 */
export async function otherThan(
  lane: Lane,
  fd: Fd,
  address: string,
): Promise<string | undefined> {
  const target = await lane.fileTarget(fd);
  if (!isVfioDevice(target)) return `${kindOf(target)}, and no VFIO device`;
  const told = await lane.deviceAddress(fd);
  if (told === address) return undefined;
  return told === undefined ? "a VFIO device that tells no address" : `device ${told}`;
}

/** Longest text of a stranger's in a message, characters. */
const LONGEST = 80;

function kindOf(target: string): string {
  if (target.startsWith("pipe:")) return "a pipe";
  if (target.startsWith("socket:")) return "a socket";
  if (target.startsWith("/dmabuf:")) return "a dma-buf";
  return `a file (${JSON.stringify(target.slice(0, LONGEST))})`;
}
