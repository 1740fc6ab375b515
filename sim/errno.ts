/**
 * Refusals of the simulated kernel.
 *
 * @module
 */
import { KernelError } from "../engine/kernel_error.ts";

/** Numbers of the errnos that the simulation answers with (include/uapi/asm-generic/errno*.h). */
const NUMBERS = {
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  ECONNREFUSED: 111,
  EOPNOTSUPP: 95,
} as const;

/** Name of an errno that the simulation knows. */
export type SimErrno = keyof typeof NUMBERS;

/** @returns the refusal of a call, to be thrown */
export function refusal(call: string, errno: SimErrno, subject: string): KernelError {
  return new KernelError(call, NUMBERS[errno], errno, subject);
}
