/**
 * fdinfo: what the kernel tells of an open file. Asked of the calling thread, whose table of
 * descriptors can be its own.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { readFile } from "./read_file.ts";

/** The files that Bargate looks at have a dozen lines, one of them a path. */
const LIMIT = 16 * 1024;

/**
 * Reads fdinfo of an open file.
 *
 * @param fd the file
 * @returns the lines; bytes that are no UTF-8 become U+FFFD
 * @throws {KernelError}
 */
export function readFdinfo(fd: Fd): string {
  return new TextDecoder().decode(readFile(`/proc/thread-self/fdinfo/${fd.number}`, LIMIT));
}
