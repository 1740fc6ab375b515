/**
 * A descriptor that is watched on the event loop.
 *
 * @module
 */
import type { Fd } from "../fd.ts";
import type { Kernel, Watch } from "../kernel.ts";
import type { Observer, ObserverContext } from "./observation.ts";

/**
 * Calls back whenever a descriptor is readable. A throw of the callback is told and ends nothing:
 * on the event loop it would end the process.
 *
 * @param context takes errors
 * @param fd watched; owned from here on
 * @param onReady takes what waits
 * @returns the watching; its stop closes the descriptor
 * @throws {KernelError} if it cannot be watched; it is closed then
 */
export function whenReadable(
  { kernel, failed }: ObserverContext,
  fd: Fd,
  onReady: () => void,
): Observer {
  const ready = () => {
    try {
      onReady();
    } catch (error) {
      failed(error);
    }
  };
  const watch = watchOrClose(kernel, fd, ready);
  return {
    stop() {
      watch.stop();
      if (fd.open) kernel.close(fd);
    },
  };
}

function watchOrClose(kernel: Kernel, fd: Fd, onReady: () => void): Watch {
  try {
    return kernel.watch(fd, onReady);
  } catch (error) {
    kernel.close(fd);
    throw error;
  }
}
