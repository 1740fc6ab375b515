/**
 * The real `Files`: sysfs and procfs through libc, for the runtime refuses both under anything
 * short of all permissions.
 *
 * @module
 */
import {
  type Files,
  FilesError,
  type FileStatus,
  type Folder,
  FolderByPath,
  type UnreadableReason,
} from "../host/files.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { toCString } from "./c_string.ts";
import { ERRNO, reissued } from "./errno.ts";
import { identifyPath } from "./file_identity.ts";
import { KeptBytes } from "./kept_bytes.ts";
import { C } from "./layouts.ts";
import { readingLibc } from "./libc.ts";
import { listDirectory } from "./list_directory.ts";
import { openFolder, useFolder } from "./open_folder.ts";
import { readFile, readLink } from "./read_file.ts";
import { resolveBelow } from "./resolve_path.ts";

const DEFAULT_LIMIT = 64 * 1024;
const DECODER = new TextDecoder();
const NEWLINE = 0x0a;
/** Of a file's mode: who may what, set-user-ID and the like. */
const PERMISSIONS = 0o7777;

const REASONS: ReadonlyMap<number, UnreadableReason> = new Map([
  [ERRNO.ENOENT, "absent"],
  [ERRNO.ENOTDIR, "absent"],
  [ERRNO.EACCES, "forbidden"],
  [ERRNO.EPERM, "forbidden"],
  [ERRNO.ENODEV, "gone"],
  [ERRNO.ENXIO, "gone"],
  [ERRNO.ESRCH, "gone"],
]);

const SAID: Readonly<Record<UnreadableReason, string>> = {
  absent: "there is no such file or folder",
  forbidden: "this account may not",
  gone: "the device or process has gone",
  other: "the kernel refused",
};

/**
 * Reads below one root.
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { LinuxFiles } from "./linux_files.ts";
 *
 * const files = new LinuxFiles();
 * if (files.readText("/proc/sys/kernel/ostype") !== "Linux") throw new Error("not Linux");
 * ```
 */
export class LinuxFiles implements Files {
  readonly #root: string;
  readonly #kept = new KeptBytes();

  /** @param root folder that stands for `/`; links in it, absolute ones too, stay within */
  constructor(root = "") {
    this.#root = root.replace(/\/+$/, "");
  }

  read(path: string, limit = DEFAULT_LIMIT): Uint8Array {
    try {
      return readFile(this.#locate(path), limit, path.startsWith("/sys/"));
    } catch (error) {
      throw filesError("read", path, error);
    }
  }

  readText(path: string, limit = DEFAULT_LIMIT): string {
    const bytes = this.read(path, limit);
    const end = bytes.at(-1) === NEWLINE ? bytes.length - 1 : bytes.length;
    return DECODER.decode(bytes.subarray(0, end));
  }

  list(path: string): string[] {
    return this.#attempt("list", path, () => [...listDirectory(this.#locate(path)).names].sort());
  }

  readLink(path: string): string {
    return this.#attempt("read the link", path, () => readLink(this.#locateLink(path)));
  }

  realPath(path: string): string {
    return this.#attempt("resolve", path, () => {
      const resolved = resolveBelow(this.#root, path);
      identifyPath(this.#root + resolved);
      return resolved;
    });
  }

  exists(path: string): boolean {
    try {
      return this.#attempt("look for", path, () => isThere(this.#locate(path)));
    } catch (error) {
      if (error instanceof FilesError) return false;
      throw error;
    }
  }

  status(path: string): FileStatus {
    return this.#attempt("look at", path, () => {
      const { uid, gid, mode } = identifyPath(this.#locate(path));
      return { uid, gid, permissions: mode & PERMISSIONS };
    });
  }

  inFolder<T>(path: string, use: (folder: Folder) => T): T {
    const fd = this.#openFolder(path);
    if (fd === undefined) return use(new FolderByPath(this, path));
    const source = { files: this, kept: this.#kept, rooted: this.#root !== "" };
    return useFolder(fd, path, source, use);
  }

  /** @returns undefined if that fails: why, is said by who reads in it */
  #openFolder(path: string): number | undefined {
    try {
      const fd = openFolder(this.#locate(path));
      return fd < 0 ? undefined : fd;
    } catch (error) {
      if (error instanceof KernelError || error instanceof TypeError) return undefined;
      throw error;
    }
  }

  /** The kernel follows links by itself where the root is the real one. */
  #locate(path: string): string {
    return this.#root === "" ? path : this.#root + resolveBelow(this.#root, path);
  }

  /** Links on the way are followed, the last name is not. */
  #locateLink(path: string): string {
    const cut = path.lastIndexOf("/");
    return `${this.#locate(path.slice(0, cut) || "/")}/${path.slice(cut + 1)}`;
  }

  #attempt<T>(what: string, path: string, step: () => T): T {
    try {
      return step();
    } catch (error) {
      throw filesError(what, path, error);
    }
  }
}

function isThere(path: string): boolean {
  const name = toCString(path);
  return reissued(() => readingLibc().access(name, C.F_OK)) === 0;
}

function filesError(what: string, path: string, cause: unknown): unknown {
  if (cause instanceof KernelError) {
    const reason = REASONS.get(cause.errno) ?? "other";
    const message = `Cannot ${what} ${path}: ${SAID[reason]} (${cause.errnoName})`;
    return new FilesError(path, reason, message, { cause });
  }
  if (cause instanceof TypeError) {
    const message = `Cannot ${what} ${JSON.stringify(path)}: no path has NUL in it`;
    return new FilesError(path, "absent", message, { cause });
  }
  return cause;
}
