/**
 * Reading files of any file system, procfs and sysfs included.
 *
 * @module
 */
import { textOf, toCString } from "./c_string.ts";
import { checked, reissuedAfter } from "./errno.ts";
import { C } from "./layouts.ts";
import { readingLibc } from "./libc.ts";

/** The longest text of a symbolic link that Linux makes, bytes. */
export const PATH_MAX = 4096n;

/** What one read of sysfs gives at most, bytes: less than that is the end (fs/kernfs/file.c). */
const SYSFS_PAGE = 4096;
const SYSFS_PAGE_SIZE = BigInt(SYSFS_PAGE);
/** Files and links are read into this first: one buffer for all costs nothing to make. */
export const SCRATCH = new Uint8Array(new ArrayBuffer(64 * 1024));

/** Opened non-blocking, so that a FIFO cannot hold the caller up. */
export const READING = C.O_RDONLY | C.O_NONBLOCK | C.O_NOCTTY | C.O_CLOEXEC;

/**
 * Reads a file from its start.
 *
 * @param path the file
 * @param limit most bytes that are read
 * @param sysfs whether the file is one of sysfs, of which a short read is the last
 * @returns its bytes
 * @throws {KernelError}
 */
export function readFile(path: string, limit: number, sysfs = false): Uint8Array<ArrayBuffer> {
  const name = toCString(path);
  const open = () => readingLibc().open(name, READING, 0);
  const fd = checked("open", path, reissuedAfter(open(), open));
  const bytes = limit <= SCRATCH.length ? SCRATCH : new Uint8Array(new ArrayBuffer(limit));
  const length = readOpen(fd, bytes, limit, sysfs);
  readingLibc().close(fd);
  return bytes.slice(0, checked("read", path, length));
}

/**
 * Reads what is open from its start.
 *
 * @param fd what is open, of the calling thread
 * @param bytes takes it
 * @param limit most bytes that are read; `bytes` has room for them
 * @param sysfs as of {@linkcode readFile}
 * @returns how many bytes; the negative error number if a read fails
 */
export function readOpen(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  limit: number,
  sysfs: boolean,
): number {
  let length = 0;
  while (length < limit) {
    const got = readOnce(fd, bytes, length, limit);
    if (got < 0) return got;
    length += got;
    if (got === 0 || (sysfs && got < SYSFS_PAGE)) break;
  }
  return length;
}

/** The first read, which mostly is the only one, makes nothing that is thrown away. */
function readOnce(fd: number, bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number {
  const rest = from === 0 ? bytes : bytes.subarray(from, to);
  const size = to - from === SYSFS_PAGE ? SYSFS_PAGE_SIZE : BigInt(to - from);
  const got = readingLibc().read(fd, rest, size);
  return got < 0 ? reissuedAfter(got, () => readingLibc().read(fd, rest, size)) : got;
}

/**
 * The text of a symbolic link.
 *
 * @param path the link
 * @returns its text; bytes that are no UTF-8 become U+FFFD
 * @throws {KernelError}
 */
export function readLink(path: string): string {
  const name = toCString(path);
  const read = () => readingLibc().readlink(name, SCRATCH, PATH_MAX);
  const length = reissuedAfter(read(), read);
  return scratchText(checked("readlink", path, length));
}

/**
 * What was read into the scratch buffer, as text.
 *
 * @param length bytes
 * @returns the text; bytes that are no UTF-8 become U+FFFD
 */
export function scratchText(length: number): string {
  return textOf(SCRATCH, 0, length);
}
