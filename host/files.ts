/**
 * The `Files` port: how this layer reads sysfs and procfs. The real one goes through libc (`ffi/`),
 * for Deno refuses `/sys` and `/proc` under anything short of all permissions; tests use a folder.
 *
 * @module
 */

/** Why a file could not be read, by kind; the rest of the errnos end up in `other`. */
export type UnreadableReason = "absent" | "forbidden" | "gone" | "other";

/** A file or folder below the root could not be read. */
export class FilesError extends Error {
  override readonly name = "FilesError";
  constructor(
    readonly path: string,
    readonly reason: UnreadableReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Whose a file is, and who may do what with it. */
export interface FileStatus {
  readonly uid: number;
  readonly gid: number;
  /** The twelve permission bits. */
  readonly permissions: number;
}

/**
 * What lies in one folder, by names within it: for who reads much there. What may be missing is asked
 * for by `…IfThere`, which answers undefined where it is not there or has gone. All methods throw
 * {@linkcode FilesError}.
 */
export interface Folder {
  /** Absolute within the root of the {@linkcode Files}. */
  readonly path: string;
  /** The whole file as bytes, at most `limit` of them (default 64 KiB). */
  read(name: string, limit?: number): Uint8Array;
  /** As `Files.readText`. */
  readText(name: string, limit?: number): string;
  textIfThere(name: string, limit?: number): string | undefined;
  /** The text of a symbolic link. */
  linkIfThere(name: string): string | undefined;
  /** Names in a folder of the folder, sorted. */
  namesIfThere(name: string): readonly string[] | undefined;
  /** Reads in a folder of the folder, as {@linkcode Files.inFolder}. */
  inFolder<T>(name: string, use: (folder: Folder) => T): T;
}

/** Reading below one root. Paths are absolute within it (`/sys/bus/pci/devices`). All methods throw {@linkcode FilesError}. */
export interface Files {
  /** The whole file as bytes, at most `limit` of them (default 64 KiB). */
  read(path: string, limit?: number): Uint8Array;
  /** The file as text without the trailing newline. Bytes that are no UTF-8 become U+FFFD. */
  readText(path: string, limit?: number): string;
  /** Names in a folder, sorted, without `.` and `..`. */
  list(path: string): string[];
  /** The text of a symbolic link. */
  readLink(path: string): string;
  /** The path with every link and `..` resolved, within the root. */
  realPath(path: string): string;
  /** Whether something is there (false too when it is forbidden to look). */
  exists(path: string): boolean;
  /** Of what a path leads to, links followed. */
  status(path: string): FileStatus;
  /**
   * Reads in one folder, whose path is walked once. Absent: each file is reached by its whole path.
   *
   * @param use reads; the folder is of no use afterwards. That it is not there shows when it is read in
   */
  inFolder?<T>(path: string, use: (folder: Folder) => T): T;
}

/**
 * Reads in one folder of any {@linkcode Files}.
 *
 * @param files where
 * @param path of the folder
 * @param use reads
 * @returns what `use` returns
 *
 * @example
 * ```ts
 * import "../ffi/preload.ts";
 * import { LinuxFiles } from "../ffi/linux_files.ts";
 * import { inFolder } from "./files.ts";
 *
 * const type = inFolder(new LinuxFiles(), "/proc/sys/kernel", (folder) => folder.readText("ostype"));
 * if (type !== "Linux") throw new Error("not Linux");
 * ```
 */
export function inFolder<T>(files: Files, path: string, use: (folder: Folder) => T): T {
  return files.inFolder === undefined
    ? use(new FolderByPath(files, path))
    : files.inFolder(path, use);
}

/** A folder in which each file is reached by its whole path. */
export class FolderByPath implements Folder {
  /**
   * @param files where
   * @param path of the folder; empty: names are absolute paths
   */
  constructor(private readonly files: Files, readonly path: string) {}

  read(name: string, limit?: number): Uint8Array {
    return this.files.read(this.#at(name), limit);
  }

  readText(name: string, limit?: number): string {
    return this.files.readText(this.#at(name), limit);
  }

  textIfThere(name: string, limit?: number): string | undefined {
    return ifThere(() => this.files.readText(this.#at(name), limit));
  }

  linkIfThere(name: string): string | undefined {
    return ifThere(() => this.files.readLink(this.#at(name)));
  }

  namesIfThere(name: string): readonly string[] | undefined {
    return ifThere(() => this.files.list(this.#at(name)));
  }

  inFolder<T>(name: string, use: (folder: Folder) => T): T {
    return inFolder(this.files, this.#at(name), use);
  }

  #at(name: string): string {
    return this.path === "" ? name : `${this.path}/${name}`;
  }
}

function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { reason } = error instanceof FilesError ? error : { reason: undefined };
    if (reason === "absent" || reason === "gone") return undefined;
    throw error;
  }
}
