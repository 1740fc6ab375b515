/**
 * A table of descriptors for one thread alone.
 *
 * When a process dies, its last thread closes what is left in the table that they share, one
 * descriptor after the other; and the close of a device waits for its importers. A thread with a table
 * of its own closes its own, at its own death: one stuck device delays no other.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { closeDescriptor } from "./descriptors.ts";
import { checked, reissued } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";
import { listDirectory } from "./list_directory.ts";
import { readLink } from "./read_file.ts";

const OWN = "/proc/thread-self/fd";
/** Standard streams. */
const FIRST = 3;
/** Anonymous files that the run-time's own event loop lives on, in this thread too. */
const RUNTIME = new Set([
  "anon_inode:[eventpoll]",
  "anon_inode:[eventfd]",
  "anon_inode:[timerfd]",
  "anon_inode:[io_uring]",
]);
/** Devices, buffers, and traces, whose place can be removed only when nobody has them open. */
const FOREIGN = ["/dev/vfio/", "/dev/iommu", "/dmabuf:", "/sys/kernel/tracing/"];

/**
 * Gives the calling thread a copy of the process's table, and takes out of the copy what could keep
 * somebody else's file alive: devices, buffers, sockets of Bargate's own, processes, observers.
 *
 * @param keep a descriptor of Bargate's own that the thread needs
 * @throws {KernelError} if the thread cannot have a table of its own
 */
export function takeOwnTable(keep: number): void {
  checked("unshare(CLONE_FILES)", "thread", reissued(() => libc().unshare(C.CLONE_FILES)));
  for (const name of listDirectory(OWN).names) {
    const number = Number(name);
    if (number >= FIRST && number !== keep && isForeign(number)) {
      closeDescriptor(new Fd(number, `copy of descriptor ${number}`));
    }
  }
}

/** The listing's own descriptor is gone by now. */
function isForeign(number: number): boolean {
  let target: string;
  try {
    target = readLink(`${OWN}/${number}`);
  } catch (error) {
    if (error instanceof KernelError && error.errnoName === "ENOENT") return false;
    throw error;
  }
  if (target.startsWith("socket:")) return socketType(number) !== C.SOCK_STREAM;
  if (target.startsWith("anon_inode:")) return !RUNTIME.has(target);
  return target.startsWith("pidfd:") || FOREIGN.some((path) => target.startsWith(path));
}

/** The run-time wakes itself through stream sockets; Bargate's are all of another type. */
function socketType(number: number): number {
  const value = new Int32Array([0]);
  const length = new Uint32Array([value.byteLength]);
  const result = reissued(() => libc().getsockopt(number, C.SOL_SOCKET, C.SO_TYPE, value, length));
  checked("getsockopt(SO_TYPE)", `descriptor ${number}`, result);
  return value[0] ?? 0;
}
