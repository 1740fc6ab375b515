/**
 * Why a file could not be used, in words and with what to do: the one table for all verbs.
 *
 * @module
 */

import { KernelError } from "../engine/kernel_error.ts";

/** What was tried. */
export type FileUse = "read" | "write";

/** By the kernel's name of the error; where it depends on what was tried, for each. */
const TROUBLES: Readonly<Record<string, string | Readonly<Record<FileUse, string>>>> = {
  ENOENT: {
    read: "no such file or folder; check the path",
    write: "the folder that it would be in does not exist; make it first, or name another one",
  },
  ENOTDIR: "a part of the path is a file and no folder; check the path",
  EISDIR: "it is a folder; name a file",
  EACCES: {
    read: "its permissions do not allow it; change them, or run as an account that may read it",
    write:
      "the permissions do not allow it; name a folder that this account may write to, or run as one that may",
  },
  ELOOP: "its links lead round in a circle; name the file itself",
  ENAMETOOLONG: "the path is too long; name it by a shorter one",
  ENOSPC: "the disk is full; make room, or name a place on another one",
  EDQUOT: "this account may use no more of the disk; make room, or name a place on another one",
  EROFS: "the file system is mounted read-only; name a place on another one",
  EIO: "the disk reports an error; see the kernel's log (dmesg)",
  EMFILE: "this process has too many open files; raise the limit (ulimit -n)",
  ENFILE: "this machine has too many open files; close some",
  ENXIO: "nothing is at the other end of it; name a regular file",
};

/**
 * Says why a file could not be used. The path is not in it, nor is an errno.
 *
 * @param error what the runtime threw
 * @param use what was tried
 * @returns the cause in words; what to do, after a semicolon
 *
 * @example
 * ```ts
 * import { fileTrouble } from "./file_trouble.ts";
 * import assert from "node:assert/strict";
 *
 * const error = new Deno.errors.IsADirectory("Is a directory (os error 21)");
 * assert.equal(fileTrouble(error, "read"), "it is a folder; name a file");
 * ```
 */
export function fileTrouble(error: unknown, use: FileUse): string {
  if (error instanceof Deno.errors.NotCapable) return `this run may not ${use} it (--allow-${use})`;
  const trouble = TROUBLES[nameOf(error)];
  if (trouble !== undefined) return typeof trouble === "string" ? trouble : trouble[use];
  const message = error instanceof Error ? error.message : String(error);
  // What the runtime says goes on with the call and the path, which the reader has already.
  return message.replace(/ \(os error \d+\).*$/s, "");
}

/** The runtime has no class for every error, and no code on every one of a class. */
function nameOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "ENOENT";
  if (error instanceof Deno.errors.PermissionDenied) return "EACCES";
  if (error instanceof Deno.errors.IsADirectory) return "EISDIR";
  if (error instanceof Deno.errors.NotADirectory) return "ENOTDIR";
  if (error instanceof Deno.errors.FilesystemLoop) return "ELOOP";
  if (error instanceof KernelError) return error.errnoName;
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
