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
}
