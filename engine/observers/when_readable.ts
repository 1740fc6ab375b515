/**
 * A descriptor that is watched on the event loop.
 *
 * @module
 */
import type { Fd } from "../fd.ts";
import type { Observer, ObserverContext } from "./observation.ts";

/**
 * Calls back whenever a descriptor is readable. A throw of the callback is told and ends nothing:
 * on the event loop it would end the process.
 *
 * @param context takes errors
 * @param fd watched; owned from here on
 * @param onReady takes what waits
 * @returns the watching; its stop closes the descriptor
 */
export function whenReadable(
  { kernel, failed }: ObserverContext,
  fd: Fd,
  onReady: () => void,
): Observer {
  const watch = kernel.watch(fd, () => {
    try {
      onReady();
    } catch (error) {
      failed(error);
    }
  });
  return {
    stop() {
      watch.stop();
      if (fd.open) kernel.close(fd);
    },
  };
}
