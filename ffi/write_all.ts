/**
 * Writing to a descriptor that others may share, and may have made non-blocking.
 *
 * @module
 */
import { checked, ERRNO, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { readingLibc } from "./libc.ts";
import { encode } from "./struct.ts";

/**
 * Writes all of some bytes, and waits as long as their reader takes.
 *
 * @param descriptor a number of the process's table
 * @param bytes to write
 * @returns false: the reader has gone
 * @throws {KernelError}
 */
export function writeAll(descriptor: number, bytes: Uint8Array<ArrayBuffer>): boolean {
  for (let rest = bytes; rest.length > 0;) {
    const written = readingLibc().write(descriptor, rest, BigInt(rest.length));
    if (written === -ERRNO.EPIPE) return false;
    if (written === -ERRNO.EAGAIN) untilWritable(descriptor);
    else if (written !== -ERRNO.EINTR) {
      rest = rest.subarray(checked("write", `descriptor ${descriptor}`, written));
    }
  }
  return true;
}

function untilWritable(descriptor: number): void {
  const argument = encode(STRUCTS.pollfd, { fd: descriptor, events: C.POLLOUT });
  const poll = () => readingLibc().poll(argument, 1n, -1);
  checked("poll", `descriptor ${descriptor}`, reissued(poll));
}
