/**
 * inotify(7): who opens, writes and closes files. On sysfs files and device nodes it tells what no
 * uevent tells, and the open is told before the write takes effect.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { FileEvent, FileEventKind } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { decode } from "./struct.ts";

const EVENT = STRUCTS.inotify_event;

/** Room for some thousand events at a time, bytes. */
const CHUNK = 64 * 1024;

const BIT: Readonly<Record<FileEventKind, number>> = {
  "open": C.IN_OPEN,
  "modify": C.IN_MODIFY,
  "close-write": C.IN_CLOSE_WRITE,
  "close-nowrite": C.IN_CLOSE_NOWRITE,
  "delete": C.IN_DELETE_SELF,
};

/**
 * A fresh inotify instance: non-blocking, close-on-exec.
 *
 * @param what whose it is, for messages
 * @returns the descriptor; the caller owns it
 * @throws {KernelError} EMFILE where the account has too many (fs.inotify.max_user_instances)
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { addFileWatch, openInotify, readFileEvents } from "./inotify.ts";
 *
 * const inotify = openInotify("example");
 * const watch = addFileWatch(inotify, "/dev/null", ["open"]);
 * Deno.openSync("/dev/null").close();
 * const seen = readFileEvents(inotify).some((it) => it !== "overrun" && it.watch === watch);
 * closeDescriptor(inotify);
 * if (!seen) throw new Error("we opened it");
 * ```
 */
export function openInotify(what: string): Fd {
  const result = reissued(() => libc().inotify_init1(C.IN_NONBLOCK | C.IN_CLOEXEC));
  return new Fd(checked("inotify_init1", what, result), what);
}

/**
 * Watches a file, without opening it. Two paths of one file share one watch, and the later call says
 * what it tells.
 *
 * @param inotify from {@linkcode openInotify}
 * @param path the file; links are followed
 * @param kinds what to tell
 * @returns what events of this file are marked with
 * @throws {KernelError} EACCES without the right to read a file; ENOSPC where the account watches
 * too many (fs.inotify.max_user_watches)
 */
export function addFileWatch(inotify: Fd, path: string, kinds: readonly FileEventKind[]): number {
  const name = toCString(path);
  const mask = kinds.reduce((bits, kind) => bits | BIT[kind], 0);
  const result = reissued(() => libc().inotify_add_watch(inotify.number, name, mask));
  return checked("inotify_add_watch", path, result);
}

/**
 * Ends a watch; its last event is `ignored`.
 *
 * @param inotify from {@linkcode openInotify}
 * @param watch from {@linkcode addFileWatch}
 * @throws {KernelError} EINVAL where it has ended already
 */
export function removeFileWatch(inotify: Fd, watch: number): void {
  const result = reissued(() => libc().inotify_rm_watch(inotify.number, watch));
  checked("inotify_rm_watch", inotify.what, result);
}

/**
 * Takes what waits.
 *
 * @param inotify from {@linkcode openInotify}
 * @returns events in order; none: none waits
 * @throws {KernelError}
 */
export function readFileEvents(inotify: Fd): readonly FileEvent[] {
  const chunk = new Uint8Array(new ArrayBuffer(CHUNK));
  const number = inotify.number;
  const result = reissued(() => libc().read(number, chunk, BigInt(chunk.length)));
  if (result === -ERRNO.EAGAIN) return [];
  return parseFileEvents(chunk.subarray(0, checked("read", inotify.what, result)));
}

/**
 * Reads what the kernel wrote.
 *
 * @param bytes `struct inotify_event` one behind the other
 */
export function parseFileEvents(bytes: Uint8Array<ArrayBuffer>): readonly FileEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: FileEvent[] = [];
  for (let at = 0; at + EVENT.size <= view.byteLength;) {
    const { wd, mask, len } = decode(EVENT, view, at);
    if ((mask & C.IN_Q_OVERFLOW) !== 0) events.push("overrun");
    else events.push(...kindsOf(mask).map((kind) => ({ watch: wd, kind })));
    at += EVENT.size + len;
  }
  return events;
}

function kindsOf(mask: number): (FileEventKind | "ignored")[] {
  const kinds = (Object.keys(BIT) as FileEventKind[]).filter((kind) => (mask & BIT[kind]) !== 0);
  // An unmounted file system is followed by "ignored" for each of its watches.
  return (mask & C.IN_IGNORED) !== 0 ? [...kinds, "ignored"] : kinds;
}
