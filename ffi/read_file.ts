/**
 * Reading files of any file system, procfs and sysfs included.
 *
 * @module
 */
import { toCString } from "./c_string.ts";
import { checked, reissuedAfter } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";

/** The longest text of a symbolic link that Linux makes, bytes. */
const PATH_MAX = 4096n;
const DECODER = new TextDecoder();

/** What one read of sysfs gives at most, bytes: less than that is the end (fs/kernfs/file.c). */
const SYSFS_PAGE = 4096;
/** Files and links are read into this first: one buffer for all costs nothing to make. */
const SCRATCH = new Uint8Array(new ArrayBuffer(64 * 1024));

/**
 * Reads a file from its start. Opened non-blocking, so that a FIFO cannot hold the caller up.
 *
 * @param path the file
 * @param limit most bytes that are read
 * @param sysfs whether the file is one of sysfs, of which a short read is the last
 * @returns its bytes
 * @throws {KernelError}
 */
export function readFile(path: string, limit: number, sysfs = false): Uint8Array<ArrayBuffer> {
  const name = toCString(path);
  const flags = C.O_RDONLY | C.O_NONBLOCK | C.O_NOCTTY | C.O_CLOEXEC;
  const open = () => libc().open(name, flags, 0);
  const fd = checked("open", path, reissuedAfter(open(), open));
  try {
    return readAll(fd, limit, path, sysfs);
  } finally {
    libc().close(fd);
  }
}

function readAll(
  fd: number,
  limit: number,
  path: string,
  sysfs: boolean,
): Uint8Array<ArrayBuffer> {
  const bytes = limit <= SCRATCH.length ? SCRATCH : new Uint8Array(new ArrayBuffer(limit));
  let length = 0;
  while (length < limit) {
    const rest = bytes.subarray(length, limit);
    const read = () => libc().read(fd, rest, BigInt(rest.length));
    const got = checked("read", path, reissuedAfter(read(), read));
    length += got;
    if (got === 0 || (sysfs && got < SYSFS_PAGE)) break;
  }
  return bytes.slice(0, length);
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
  const read = () => libc().readlink(name, SCRATCH, PATH_MAX);
  const length = reissuedAfter(read(), read);
  return DECODER.decode(SCRATCH.subarray(0, checked("readlink", path, length)));
}
