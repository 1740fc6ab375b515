/**
 * Who a process is, as its files in procfs say, read while a pidfd vouches that they are its.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { IdentityOptions, ProcessIdentity } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { cgroupIn, unitOf } from "./cgroup.ts";
import { closeDescriptor, openPath } from "./descriptors.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { identifyDescriptor, identifyPath } from "./file_identity.ts";
import { hashFile } from "./hash_file.ts";
import { C } from "./layouts.ts";
import { hasExited, pidOf } from "./pidfd.ts";
import { readFile, readLink } from "./read_file.ts";

/** `/proc/PID/status` has a line of all groups: some hundred thousand bytes at most. */
const STATUS_LIMIT = 1024 * 1024;
const CGROUP_LIMIT = 64 * 1024;

/** A process that executes something else while it is looked at is looked at again. */
const ATTEMPTS = 3;

/**
 * Reads who a process is.
 *
 * @param pidfd the process
 * @param options whether its executable is to be hashed
 * @returns its identity, all at one time; absent: it has gone
 * @throws {KernelError} EACCES, EPERM without the right to trace the process; EAGAIN where it
 * executed something else each time it was looked at
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { openPidfd } from "./process.ts";
 * import { identifyProcess } from "./process_identity.ts";
 *
 * const self = openPidfd(Deno.pid, "this process");
 * const identity = await identifyProcess(self, {});
 * closeDescriptor(self);
 * if (identity?.uid !== Deno.uid()) throw new Error("we are who we are");
 * ```
 */
export async function identifyProcess(
  pidfd: Fd,
  options: IdentityOptions,
): Promise<ProcessIdentity | undefined> {
  try {
    return await identifyOnce(pidfd, options, ATTEMPTS);
  } catch (error) {
    // What is missing or may not be looked at is so because the process is no more.
    if (error instanceof KernelError && hasExited(pidfd)) return undefined;
    throw error;
  }
}

async function identifyOnce(
  pidfd: Fd,
  options: IdentityOptions,
  attempts: number,
): Promise<ProcessIdentity | undefined> {
  if (attempts === 0) throw kernelError("identify", -ERRNO.EAGAIN, pidfd.what);
  const pid = pidOf(pidfd);
  if (pid === undefined) return undefined;
  const before = factsOf(pid);
  const sha256 = options.sha256 === true ? await hashExecutable(pid, before) : undefined;
  const changed = options.sha256 === true && sha256 === undefined || !same(before, factsOf(pid));
  // Asked last: as long as it has not ended, nobody else has got its pid.
  if (hasExited(pidfd)) return undefined;
  if (changed) return await identifyOnce(pidfd, options, attempts - 1);
  if (sha256 === undefined) return before;
  return { ...before, executable: { ...before.executable, sha256 } };
}

function factsOf(pid: number): ProcessIdentity {
  const decoder = new TextDecoder();
  const ids = parseStatus(decoder.decode(readFile(`/proc/${pid}/status`, STATUS_LIMIT)));
  if (ids === undefined) throw kernelError("read", -ERRNO.EPROTO, `/proc/${pid}/status`);
  const { device, inode } = identifyPath(executableOf(pid));
  const executable = { path: readLink(executableOf(pid)), device, inode };
  const cgroup = cgroupIn(decoder.decode(readFile(`/proc/${pid}/cgroup`, CGROUP_LIMIT)));
  const unit = cgroup === undefined ? undefined : unitOf(cgroup);
  return {
    pid,
    ...ids,
    executable,
    ...(cgroup !== undefined && { cgroup }),
    ...(unit !== undefined && { unit }),
  };
}

function executableOf(pid: number): string {
  return `/proc/${pid}/exe`;
}

/** @returns absent: the process executes another file by now */
async function hashExecutable(pid: number, facts: ProcessIdentity): Promise<string | undefined> {
  const file = openPath(executableOf(pid), C.O_RDONLY | C.O_NONBLOCK | C.O_NOCTTY);
  try {
    const { device, inode } = identifyDescriptor(file);
    if (device !== facts.executable.device || inode !== facts.executable.inode) return undefined;
    return await hashFile(file);
  } finally {
    closeDescriptor(file);
  }
}

function same(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.uid === b.uid && a.gid === b.gid && a.cgroup === b.cgroup &&
    a.groups.join() === b.groups.join() && a.executable.device === b.executable.device &&
    a.executable.inode === b.executable.inode;
}

/**
 * The effective ids in `/proc/PID/status`.
 *
 * @param text the file. Its first line holds the process's name, in which the kernel escapes line
 * breaks
 * @returns absent: it tells none
 */
export function parseStatus(
  text: string,
): Pick<ProcessIdentity, "uid" | "gid" | "groups"> | undefined {
  const ids = (name: string) =>
    new RegExp(`^${name}:\\t([0-9\\t ]*)$`, "m").exec(text)?.[1]?.split(/[\t ]/)
      .filter((word) => word !== "").map(Number);
  const [uid, gid, groups] = [ids("Uid")?.[1], ids("Gid")?.[1], ids("Groups")];
  if (uid === undefined || gid === undefined || groups === undefined) return undefined;
  return { uid, gid, groups };
}
