/**
 * Closing what a lane was to close, when the lane is no more.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { LaneEndedError } from "./kernel_error.ts";

/**
 * Closes a descriptor on a lane. One that has ended, or whose thread has died, leaves open what is in
 * the process's table: then another lane of that table closes it, for a buffer, an iommufd or a copy
 * of an owner's descriptor that nobody closes keeps what it is of.
 *
 * @param kernel the port
 * @param lane where it should be closed
 * @param fd given up when this resolves
 * @throws {KernelError} if the close fails; the descriptor is given up all the same
 * @throws {LaneEndedError} if it went with the thread's own table
 */
export async function closeOnLane(kernel: Kernel, lane: Lane, fd: Fd): Promise<void> {
  await closeOn(kernel, lane, fd, MOST_LANES);
}

/** A thread that dies is no reason why the next one should; three are. */
const MOST_LANES = 3;

async function closeOn(kernel: Kernel, lane: Lane, fd: Fd, left: number): Promise<void> {
  try {
    await lane.close(fd);
  } catch (error) {
    if (!(error instanceof LaneEndedError) || !fd.open || left === 0) throw error;
    const other = kernel.openLane(`${lane.name} (closing)`, "shared");
    try {
      await closeOn(kernel, other, fd, left - 1);
    } finally {
      await other.end();
    }
  }
}
