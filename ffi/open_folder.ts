/**
 * A folder of sysfs that is open (`O_PATH`): files in it are reached by their names, without a walk
 * from the root for each. Whatever is out of the ordinary is done again by the whole path, which
 * follows links as it must and says what is wrong.
 *
 * @module
 */
import { type Files, type Folder, FolderByPath } from "../host/files.ts";
import { toCString, toPassingCString } from "./c_string.ts";
import { ERRNO } from "./errno.ts";
import type { KeptBytes } from "./kept_bytes.ts";
import { C } from "./layouts.ts";
import { readingLibc } from "./libc.ts";
import { namesOf } from "./list_directory.ts";
import { PATH_MAX, READING, readOpen, SCRATCH, scratchText } from "./read_file.ts";

const AS_FOLDER = C.O_PATH | C.O_CLOEXEC;
const NEWLINE = 0x0a;
/** The same few names are asked for in every folder. */
const MOST_NAMES = 64;
const NAMES = new Map<string, Uint8Array<ArrayBuffer>>();

/** How a folder is read in. */
export interface FolderSource {
  /** Reads by whole paths. */
  readonly files: Files;
  /** Takes what is read as bytes. */
  readonly kept: KeptBytes;
  /** Whether a link must not be followed by the kernel: it would lead out of the root. */
  readonly rooted: boolean;
}

/**
 * Opens a folder, to reach what is in it.
 *
 * @param path the folder, or a link to it
 * @returns the descriptor, of which nothing but its folder can be had; or the negative error number
 */
export function openFolder(path: string): number {
  return readingLibc().open(toCString(path), AS_FOLDER, 0);
}

/**
 * Reads in a folder, and closes it. What is read in it later is read by the whole path.
 *
 * @param fd of {@linkcode openFolder}
 * @param path of the folder
 * @param source how else it is read
 * @param use reads
 * @returns what `use` returns
 */
export function useFolder<T>(
  fd: number,
  path: string,
  source: FolderSource,
  use: (folder: Folder) => T,
): T {
  const folder = new OpenFolder(fd, path, source);
  try {
    return use(folder);
  } finally {
    folder.close();
  }
}

class OpenFolder implements Folder {
  readonly #byPath: Folder;
  readonly #source: FolderSource;
  readonly #sysfs: boolean;
  #fd: number;

  constructor(fd: number, readonly path: string, source: FolderSource) {
    this.#fd = fd;
    this.#source = source;
    this.#byPath = new FolderByPath(source.files, path);
    this.#sysfs = path.startsWith("/sys/");
  }

  close(): void {
    readingLibc().close(this.#fd);
    this.#fd = -1;
  }

  read(name: string, limit = SCRATCH.length): Uint8Array {
    const { kept } = this.#source;
    const room = kept.room(limit);
    const length = this.#load(name, limit, room);
    return length < 0 ? this.#byPath.read(name, limit) : kept.take(room, length);
  }

  readText(name: string, limit = SCRATCH.length): string {
    const length = this.#load(name, limit);
    return length < 0 ? this.#byPath.readText(name, limit) : lineText(length);
  }

  textIfThere(name: string, limit = SCRATCH.length): string | undefined {
    const length = this.#load(name, limit);
    if (length === -ERRNO.ENOENT) return undefined;
    return length < 0 ? this.#byPath.textIfThere(name, limit) : lineText(length);
  }

  linkIfThere(name: string): string | undefined {
    const length = this.#isPlain(name) ? this.#loadLink(name) : -ERRNO.ELOOP;
    if (length === -ERRNO.ENOENT) return undefined;
    return length < 0 ? this.#byPath.linkIfThere(name) : scratchText(length);
  }

  namesIfThere(name: string): readonly string[] | undefined {
    const fd = this.#open(name);
    if (fd === -ERRNO.ENOENT) return undefined;
    if (fd < 0) return this.#byPath.namesIfThere(name);
    try {
      return namesOf(fd, name).sort();
    } catch {
      // What was wrong is said by who reads it by its path.
      return this.#byPath.namesIfThere(name);
    } finally {
      readingLibc().close(fd);
    }
  }

  inFolder<T>(name: string, use: (folder: Folder) => T): T {
    const fd = this.#openFolder(name);
    if (fd < 0) return this.#byPath.inFolder(name, use);
    return useFolder(fd, `${this.path}/${name}`, this.#source, use);
  }

  /** The entry of a device is a link. */
  #openFolder(name: string): number {
    if (this.#source.rooted || !this.#isPlain(name)) return -ERRNO.ELOOP;
    return readingLibc().openat(this.#fd, toPassingCString(name), AS_FOLDER, 0);
  }

  /** @returns how many bytes are in the buffer; or the negative error number */
  #load(name: string, limit: number, into = SCRATCH): number {
    if (limit > into.length) return -ERRNO.EFBIG;
    const fd = this.#open(name);
    if (fd < 0) return fd;
    const length = readOpen(fd, into, limit, this.#sysfs);
    readingLibc().close(fd);
    return length;
  }

  #open(name: string): number {
    if (!this.#isPlain(name)) return -ERRNO.ELOOP;
    if (this.#source.rooted && this.#loadLink(name) >= 0) return -ERRNO.ELOOP;
    return readingLibc().openat(this.#fd, cName(name), READING, 0);
  }

  #loadLink(name: string): number {
    return readingLibc().readlinkat(this.#fd, cName(name), SCRATCH, PATH_MAX);
  }

  /** Whether the name can be given to the kernel: on the way to it there is nothing to follow. */
  #isPlain(name: string): boolean {
    if (name === "" || name.includes("\0")) return false;
    return !this.#source.rooted || !name.includes("/");
  }
}

function cName(name: string): Uint8Array<ArrayBuffer> {
  const known = NAMES.get(name);
  if (known !== undefined) return known;
  if (NAMES.size >= MOST_NAMES) return toPassingCString(name);
  const made = toCString(name);
  NAMES.set(name, made);
  return made;
}

/** Of the scratch buffer, without the newline at its end. */
function lineText(length: number): string {
  return scratchText(SCRATCH[length - 1] === NEWLINE ? length - 1 : length);
}
