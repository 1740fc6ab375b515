/**
 * A limit for what a device is asked: an open waits for whoever resets it, and a device that is locked
 * answers never.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import { HostNotReadyError } from "./errors.ts";

/** How long a device may take, ms. */
const LIMIT_MS = 10_000;

/**
 * Waits for what a device answers, but not for ever. A call that does not return keeps its thread: who
 * was told that it is late has to end the process, which does not end by itself.
 *
 * @param clock that tells
 * @param address of the function
 * @param answer that is waited for; what becomes of it later is nobody's business any more
 * @throws {HostNotReadyError} if there is none in time
 */
export async function inTime<T>(clock: Clock, address: string, answer: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const callOff = clock.after(LIMIT_MS, () => {
    const limit = `${LIMIT_MS / 1000} s`;
    reject(
      new HostNotReadyError(`Cannot open ${address}: the kernel has not answered within ${limit}`),
    );
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    callOff();
  }
}
