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
  ESRCH: 3,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  ENOSPC: 28,
  EOVERFLOW: 75,
  EBADFD: 77,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ECONNREFUSED: 111,
} as const;

/** Name of an errno that the simulation knows. */
export type SimErrno = keyof typeof NUMBERS;

/** @returns the refusal of a call, to be thrown */
export function refusal(call: string, errno: SimErrno, subject: string): KernelError {
  return new KernelError(call, NUMBERS[errno], errno, subject);
}
