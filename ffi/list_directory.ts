/**
 * Listing folders (`getdents64`).
 *
 * @module
 */
import { textOf, toCString } from "./c_string.ts";
import { checked, reissued } from "./errno.ts";
import { STRUCTS } from "./layouts.ts";
import { readingLibc } from "./libc.ts";
import { READING } from "./read_file.ts";
import { getNumber } from "./struct.ts";

const ENTRY = STRUCTS.dirent64.fields;

/** Room for some hundreds of entries at a time; each is taken out before the next call. */
const CHUNK = new Uint8Array(new ArrayBuffer(32 * 1024));
const CHUNK_BYTES = BigInt(CHUNK.length);

/** The names of a folder, and the number of the descriptor that it was read with. */
export interface Listing {
  /** In the kernel's order, without `.` and `..`; bytes that are no UTF-8 are U+FFFD. */
  readonly names: readonly string[];
  /** Closed by now; it appears in a listing of `/proc/self/fd`. */
  readonly through: number;
}

/**
 * Lists a folder.
 *
 * @param path the folder
 * @throws {KernelError} ENOTDIR where it is none
 */
export function listDirectory(path: string): Listing {
  const name = toCString(path);
  const fd = checked("open", path, reissued(() => readingLibc().open(name, READING, 0)));
  try {
    return { names: namesOf(fd, path), through: fd };
  } finally {
    readingLibc().close(fd);
  }
}

/**
 * The names in an open folder, as {@linkcode Listing} has them.
 *
 * @param fd the folder
 * @param path where it is, for messages
 * @throws {KernelError}
 */
export function namesOf(fd: number, path: string): string[] {
  const names: string[] = [];
  while (true) {
    const got = reissued(() => readingLibc().getdents64(fd, CHUNK, CHUNK_BYTES));
    if (checked("getdents64", path, got) === 0) break;
    names.push(...namesIn(CHUNK.subarray(0, got)));
  }
  return names.filter((name) => name !== "." && name !== "..");
}

/**
 * The names in what `getdents64` wrote.
 *
 * @param records `struct dirent64` one behind the other
 */
export function namesIn(records: Uint8Array<ArrayBuffer>): string[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const names: string[] = [];
  for (let at = 0; at < records.length;) {
    const length = getNumber(view, ENTRY.d_reclen, at);
    const name = at + ENTRY.d_name.offset;
    const end = records.indexOf(0, name);
    names.push(textOf(records, name, end < 0 ? at + length : Math.min(end, at + length)));
    at += length;
  }
  return names;
}
