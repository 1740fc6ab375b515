/**
 * Closing what a lane was to close, when the lane is no more.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Lane } from "./kernel.ts";
import { LaneEndedError } from "./kernel_error.ts";

/**
 * Closes a descriptor on a lane. One that has ended, or whose thread has died, leaves descriptors
 * open; then another one closes it.
 *
 * @param lane whose descriptor it is
 * @param fd given up when this resolves
 * @param another starts the lane that is used then; it is ended again
 * @throws {KernelError} if the close fails
 */
export async function closeOnLane(lane: Lane, fd: Fd, another: () => Lane): Promise<void> {
  try {
    await lane.close(fd);
  } catch (error) {
    if (!(error instanceof LaneEndedError) || !fd.open) throw error;
    const other = another();
    try {
      await other.close(fd);
    } finally {
      await other.end();
    }
  }
}
