/**
 * Opening, duplicating and closing descriptors. Everything that `ffi/` opens is close-on-exec from
 * its first moment.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { toCString } from "./c_string.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";

/**
 * `open(2)`, close-on-exec.
 *
 * @param path what to open
 * @param flags `O_RDWR` and others (fcntl.h)
 * @param what whose descriptor it is, for messages; absent: the path
 * @param call what it is called when it fails: what an errno means is known by that
 * @returns the descriptor; the caller owns it
 * @throws {KernelError}
 */
export function openPath(
  path: string,
  flags: number,
  what: string = path,
  call = "open",
): Fd {
  const name = toCString(path);
  const result = reissued(() => libc().open(name, flags | C.O_CLOEXEC, 0));
  return new Fd(checked(call, path, result), what);
}

/**
 * `close(2)`. The descriptor is given up even when it throws: Linux closes before it reports, so
 * that closing again could close somebody else's.
 *
 * @param fd what to close
 * @throws {KernelError} what the kernel reported while it closed
 * @throws {ClosedFdError} the second time
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor, openPath } from "./descriptors.ts";
 *
 * closeDescriptor(openPath("/dev/null", 0));
 * ```
 */
export function closeDescriptor(fd: Fd): void {
  const result = libc().close(fd.release());
  if (result === -ERRNO.EINTR) return;
  checked("close", fd.what, result);
}

/**
 * A second descriptor of the same open file (`F_DUPFD_CLOEXEC`).
 *
 * @param fd the first
 * @param atLeast the lowest number that it may get
 * @returns the second; the caller owns it
 * @throws {KernelError}
 */
export function duplicate(fd: Fd, atLeast = 0): Fd {
  const result = reissued(() => libc().fcntl(fd.number, C.F_DUPFD_CLOEXEC, atLeast));
  return new Fd(checked("fcntl(F_DUPFD_CLOEXEC)", fd.what, result), fd.what);
}

/**
 * Whether a descriptor is closed when the process executes another program (`F_GETFD`).
 *
 * @param fd the descriptor
 * @throws {KernelError}
 */
export function closesOnExec(fd: Fd): boolean {
  const result = reissued(() => libc().fcntl(fd.number, C.F_GETFD, 0));
  return (checked("fcntl(F_GETFD)", fd.what, result) & C.FD_CLOEXEC) !== 0;
}

/**
 * An anonymous file in memory (`memfd_create(2)`).
 *
 * @param what its name in /proc and whose descriptor it is
 * @param length bytes, zeroed
 * @returns the descriptor; the caller owns it
 * @throws {KernelError}
 */
export function memfd(what: string, length = 0n): Fd {
  const name = toCString(what);
  const number = reissued(() => libc().memfd_create(name, C.MFD_CLOEXEC));
  const fd = new Fd(checked("memfd_create", what, number), what);
  checked("ftruncate", what, reissued(() => libc().ftruncate(fd.number, length)));
  return fd;
}
