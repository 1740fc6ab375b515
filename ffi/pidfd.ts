/**
 * Processes by pidfd (pidfd_open(2)): unlike a pid, it never comes to mean another process.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { checked, reissued } from "./errno.ts";
import { readFdinfo } from "./fdinfo.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { encode, getNumber } from "./struct.ts";

/**
 * The pid that a pidfd stands for.
 *
 * @param pidfd any
 * @returns absent: the process has gone and its pid may be another's, or it is not visible here
 * @throws {KernelError} if fdinfo cannot be read
 */
export function pidOf(pidfd: Fd): number | undefined {
  return parsePidfdFdinfo(readFdinfo(pidfd));
}

/**
 * The pid in the fdinfo of a pidfd.
 *
 * @param text fdinfo
 * @returns absent: it tells none, or that the process has gone
 *
 * @example
 * ```ts
 * import { parsePidfdFdinfo } from "./pidfd.ts";
 *
 * if (parsePidfdFdinfo("pos:\t0\nflags:\t02000002\nPid:\t42\nNSpid:\t42\n") !== 42) {
 *   throw new Error("the line Pid");
 * }
 * ```
 */
export function parsePidfdFdinfo(text: string): number | undefined {
  const pid = /^Pid:\t([0-9]+)$/m.exec(text)?.[1];
  return pid === undefined || pid === "0" ? undefined : Number(pid);
}

/**
 * Whether the process has ended; one that is not reaped yet has.
 *
 * @param pidfd any
 * @throws {KernelError}
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { hasExited } from "./pidfd.ts";
 * import { openPidfd } from "./process.ts";
 *
 * const self = openPidfd(Deno.pid, "this process");
 * if (hasExited(self)) throw new Error("we are here");
 * closeDescriptor(self);
 * ```
 */
export function hasExited(pidfd: Fd): boolean {
  const layout = STRUCTS.pollfd;
  const argument = encode(layout, { fd: pidfd.number, events: C.POLLIN });
  checked("poll", pidfd.what, reissued(() => libc().poll(argument, 1n, 0)));
  return (getNumber(argument, layout.fields.revents) & (C.POLLIN | C.POLLHUP)) !== 0;
}

/**
 * A descriptor of the same open file as one of another process (`pidfd_getfd(2)`), close-on-exec.
 * While it is open the other process's close closes nothing: close it as soon as it has served.
 *
 * @param pidfd the other process
 * @param number its descriptor
 * @param what whose descriptor it is, for messages
 * @returns the descriptor; the caller owns it
 * @throws {KernelError} EPERM without the right to trace the process; ESRCH where it has gone; EBADF
 * where it has no such descriptor
 */
export function borrowDescriptor(pidfd: Fd, number: number, what: string): Fd {
  const call = BigInt(C.SYS_pidfd_getfd);
  const result = reissued(() => libc().pidfd_getfd(call, pidfd.number, number, 0));
  return new Fd(checked("pidfd_getfd", what, result), what);
}
