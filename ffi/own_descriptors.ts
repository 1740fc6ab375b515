/**
 * What this process has open.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Kernel } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { closesOnExec } from "./descriptors.ts";
import { ERRNO } from "./errno.ts";
import { listDirectory } from "./list_directory.ts";
import { readLink } from "./read_file.ts";

type OwnDescriptors = ReturnType<Kernel["ownDescriptors"]>;

const FOLDER = "/proc/self/fd";

/**
 * All open descriptors of this process, in rising order.
 *
 * @returns number, close-on-exec flag, and where `/proc/self/fd` points
 * @throws {KernelError} without procfs
 */
export function ownDescriptors(): OwnDescriptors {
  const { names, through } = listDirectory(FOLDER);
  const numbers = names.map(Number).filter((number) => number !== through);
  return numbers.sort((a, b) => a - b).flatMap(describe);
}

/** Another thread may close one while we look: that one is not open, then. */
function describe(number: number): OwnDescriptors {
  try {
    const closeOnExec = closesOnExec(new Fd(number, `descriptor ${number}`));
    return [{ number, closeOnExec, target: readLink(`${FOLDER}/${number}`) }];
  } catch (error) {
    const gone = error instanceof KernelError &&
      (error.errno === ERRNO.EBADF || error.errno === ERRNO.ENOENT);
    if (gone) return [];
    throw error;
  }
}
