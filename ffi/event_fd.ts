/**
 * eventfd(2).
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";

const COUNTER_BYTES = 8n;

/**
 * A fresh eventfd: counter 0, non-blocking, close-on-exec.
 *
 * @param what whose it is, for messages
 * @returns the descriptor; the caller owns it
 * @throws {KernelError}
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { createEventFd, readEventFd, signalEventFd } from "./event_fd.ts";
 *
 * const fd = createEventFd("example");
 * signalEventFd(fd, 3n);
 * if (readEventFd(fd) !== 3n) throw new Error("signalled 3 times");
 * closeDescriptor(fd);
 * ```
 */
export function createEventFd(what: string): Fd {
  const result = reissued(() => libc().eventfd(0, C.EFD_CLOEXEC | C.EFD_NONBLOCK));
  return new Fd(checked("eventfd", what, result), what);
}

/**
 * Takes the counter.
 *
 * @param fd an eventfd
 * @returns how often it was signalled since; 0 for never
 * @throws {KernelError}
 */
export function readEventFd(fd: Fd): bigint {
  const counter = new BigUint64Array(new ArrayBuffer(Number(COUNTER_BYTES)));
  const number = fd.number;
  const result = reissued(() => libc().read(number, counter, COUNTER_BYTES));
  if (result === -ERRNO.EAGAIN) return 0n;
  checked("read", fd.what, result);
  return counter[0] ?? 0n;
}

/**
 * Adds to the counter.
 *
 * @param fd an eventfd
 * @param times how much
 * @throws {KernelError} EAGAIN where the counter would pass 2^64-2
 */
export function signalEventFd(fd: Fd, times = 1n): void {
  const counter = new BigUint64Array([times]);
  const number = fd.number;
  checked("write", fd.what, reissued(() => libc().write(number, counter, COUNTER_BYTES)));
}
