/**
 * Refusals of the simulated kernel.
 *
 * @module
 */
import { KernelError } from "../engine/kernel_error.ts";

/** Numbers of the errnos that the simulation answers with (include/uapi/asm-generic/errno*.h). */
const NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ESRCH: 3,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  EBADFD: 77,
  ECONNREFUSED: 111,
  EOPNOTSUPP: 95,
} as const;

/** Name of an errno that the simulation knows. */
export type SimErrno = keyof typeof NUMBERS;

/** @returns the refusal of a call, to be thrown */
export function refusal(call: string, errno: SimErrno, subject: string): KernelError {
  return new KernelError(call, NUMBERS[errno], errno, subject);
}
