/**
 * What a lane does with files of strangers: takes them into its own table, and looks what they are
 * without asking them.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { LanePacket } from "../engine/kernel.ts";
import { closeDescriptor } from "./descriptors.ts";
import { pidOf } from "./pidfd.ts";
import { readLink } from "./read_file.ts";
import { receivePacket } from "./seqpacket.ts";

/**
 * Takes one packet. The sender's pidfd is looked at, and closed here.
 *
 * @param socket connected
 * @returns the packet, whose descriptors the calling thread's table has
 * @throws {KernelError}
 */
export function receiveInLane(socket: Fd): LanePacket | "empty" | "end" {
  const packet = receivePacket(socket);
  if (typeof packet === "string") return packet;
  const { pidfd, ...rest } = packet;
  const pid = pidfd === undefined ? undefined : takePid(pidfd);
  return { ...rest, ...(pid !== undefined && { pid }) };
}

function takePid(pidfd: Fd): number | undefined {
  try {
    return pidOf(pidfd);
  } finally {
    closeDescriptor(pidfd);
  }
}

/**
 * Where the link of a descriptor leads.
 *
 * @param fd from anywhere
 * @returns `pipe:[7]`, `anon_inode:[vfio-device]`, a path
 * @throws {KernelError}
 */
export function fileTarget(fd: Fd): string {
  return readLink(`/proc/thread-self/fd/${fd.number}`);
}
