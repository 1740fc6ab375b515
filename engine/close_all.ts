/**
 * Closing several descriptors.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";

/**
 * Closes all; one whose close is refused keeps none of the others open.
 *
 * @param kernel the port
 * @param fds those that are open are closed
 * @throws {KernelError} the last refusal; the descriptors are given up all the same
 */
export function closeAll(
  kernel: Pick<Kernel, "close">,
  fds: Iterable<Fd | undefined>,
): void {
  const failures: unknown[] = [];
  for (const fd of fds) {
    try {
      if (fd?.open) kernel.close(fd);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures.at(-1);
}
