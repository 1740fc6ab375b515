/**
 * Reading files of any file system, procfs and sysfs included.
 *
 * @module
 */
import { closeDescriptor, openPath } from "./descriptors.ts";
import { toCString } from "./c_string.ts";
import { checked, reissued } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";

/** The longest text of a symbolic link that Linux makes, bytes. */
const PATH_MAX = 4096;

/**
 * Reads a file from its start. Opened non-blocking, so that a FIFO cannot hold the caller up.
 *
 * @param path the file
 * @param limit most bytes that are read
 * @returns its bytes
 * @throws {KernelError}
 */
export function readFile(path: string, limit: number): Uint8Array<ArrayBuffer> {
  const fd = openPath(path, C.O_RDONLY | C.O_NONBLOCK | C.O_NOCTTY);
  try {
    return readAll(fd.number, limit, path);
  } finally {
    closeDescriptor(fd);
  }
}

function readAll(fd: number, limit: number, path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(limit));
  let length = 0;
  while (length < limit) {
    const rest = bytes.subarray(length);
    const got = reissued(() => libc().read(fd, rest, BigInt(rest.length)));
    if (checked("read", path, got) === 0) break;
    length += got;
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
  const bytes = new Uint8Array(new ArrayBuffer(PATH_MAX));
  const name = toCString(path);
  const length = reissued(() => libc().readlink(name, bytes, BigInt(bytes.length)));
  return new TextDecoder().decode(bytes.subarray(0, checked("readlink", path, length)));
}
