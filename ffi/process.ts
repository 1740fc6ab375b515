/**
 * This process, and others by pidfd.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { ChildEnd } from "../engine/kernel.ts";
import { fromCString } from "./c_string.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc, readingLibc } from "./libc.ts";
import { allocate, decode } from "./struct.ts";

const SIG_IGN = 1n;

/** Bytes of a page (`sysconf(_SC_PAGESIZE)`). */
export function pageSize(): number {
  return checked("sysconf(_SC_PAGESIZE)", "this host", readingLibc().sysconf(C._SC_PAGESIZE));
}

/** `uname -r`. */
export function kernelRelease(): string {
  const out = allocate(STRUCTS.utsname);
  checked("uname", "this host", reissued(() => readingLibc().uname(out)));
  return fromCString(new Uint8Array(out.buffer).subarray(STRUCTS.utsname.fields.release.offset));
}

/**
 * Makes this process non-dumpable (`PR_SET_DUMPABLE` 0): nobody without CAP_SYS_PTRACE can take its
 * descriptors or read its memory.
 *
 * @throws {KernelError}
 */
export function makeNonDumpable(): void {
  const result = reissued(() => libc().prctl(C.PR_SET_DUMPABLE, 0n, 0n, 0n, 0n));
  checked("prctl(PR_SET_DUMPABLE)", "this process", result);
}

/** Whether others may take this process's descriptors (`PR_GET_DUMPABLE`). */
export function isDumpable(): boolean {
  const result = reissued(() => libc().prctl(C.PR_GET_DUMPABLE, 0n, 0n, 0n, 0n));
  return checked("prctl(PR_GET_DUMPABLE)", "this process", result) !== 0;
}

/**
 * Ignores SIGUSR1 for good. The runtime answers it by opening its inspector on a TCP port, where
 * any local user could take the process over; it installs that handler some time after start, once.
 * A listener of ours makes it install the handler now, which is then replaced.
 */
export function ignoreInspectorSignal(): void {
  const listener = () => undefined;
  Deno.addSignalListener("SIGUSR1", listener);
  libc().signal(C.SIGUSR1, SIG_IGN);
  Deno.removeSignalListener("SIGUSR1", listener);
}

/**
 * A descriptor that stands for a process (`pidfd_open(2)`), close-on-exec.
 *
 * @param pid a process that cannot be replaced meanwhile: an unreaped child, a checked peer
 * @param what whose it is, for messages
 * @returns readable when the process has ended; the caller owns it
 * @throws {KernelError} ESRCH where there is none
 */
export function openPidfd(pid: number, what: string): Fd {
  const number = reissued(() => libc().pidfd_open(BigInt(C.SYS_pidfd_open), pid, 0));
  return new Fd(checked("pidfd_open", what, number), what);
}

/**
 * Sends a signal (`pidfd_send_signal(2)`).
 *
 * @param pidfd to whom
 * @param signal number; 0 only asks
 * @returns false when the process has gone
 * @throws {KernelError} EPERM where it is not ours to signal
 */
export function sendSignal(pidfd: Fd, signal: number): boolean {
  const call = BigInt(C.SYS_pidfd_send_signal);
  const result = reissued(() => libc().pidfd_send_signal(call, pidfd.number, signal, null, 0));
  if (result === -ERRNO.ESRCH) return false;
  checked("pidfd_send_signal", pidfd.what, result);
  return true;
}

/**
 * How a child ended; reaps it (`waitid(2)`).
 *
 * @param pidfd an unreaped child
 * @returns absent: it runs still
 * @throws {KernelError} ECHILD where it is no child, or reaped
 */
export function reap(pidfd: Fd): ChildEnd | undefined {
  const out = allocate(STRUCTS.siginfo_t);
  const flags = C.WEXITED | C.WNOHANG;
  const result = reissued(() => libc().waitid(C.P_PIDFD, pidfd.number, out, flags));
  checked("waitid", pidfd.what, result);
  const { si_pid, si_code, si_status } = decode(STRUCTS.siginfo_t, out);
  if (si_pid === 0) return undefined;
  if (si_code === C.CLD_EXITED) return { how: "exited", status: si_status };
  return { how: "signalled", signal: si_status };
}
