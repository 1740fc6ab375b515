/**
 * What this process may do, and how much: it is what a program that it starts may do at most.
 *
 * @module
 */
import type { Files } from "./files.ts";

/** Soft limits; a limit that is absent is none. */
export interface ProcessLimits {
  /** Descriptors (`RLIMIT_NOFILE`). */
  readonly openFiles?: number;
  /** Bytes (`RLIMIT_MEMLOCK`). */
  readonly lockedMemory?: number;
}

/** Who a process is to the file system. */
export interface ProcessAccount {
  readonly uid: number;
  /** The effective one, and the supplementary ones. */
  readonly gids: readonly number[];
}

const LIMIT_LINES: Readonly<Record<keyof ProcessLimits, RegExp>> = {
  openFiles: /^Max open files +(\d+|unlimited) /m,
  lockedMemory: /^Max locked memory +(\d+|unlimited) /m,
};

/**
 * Reads the limits of this process.
 *
 * @param files of this host
 * @returns undefined if they do not have the form that the kernel writes
 * @throws {FilesError} procfs cannot be read
 */
export function readOwnLimits(files: Files): ProcessLimits | undefined {
  return parseLimits(files.readText("/proc/self/limits"));
}

/**
 * Reads who this process is.
 *
 * @param files of this host
 * @returns undefined if it does not have the form that the kernel writes
 * @throws {FilesError} procfs cannot be read
 */
export function readOwnAccount(files: Files): ProcessAccount | undefined {
  return parseAccount(files.readText("/proc/self/status"));
}

/**
 * Parses `/proc/PID/limits` (fs/proc/base.c, `proc_pid_limits`).
 *
 * @param text of the file
 * @returns undefined if a line is missing
 *
 * @example
 * ```ts
 * import { parseLimits } from "./own_process.ts";
 *
 * const text = "Max open files  1024  4096  files\nMax locked memory  unlimited  unlimited  bytes\n";
 * const limits = parseLimits(text);
 * if (limits?.openFiles !== 1024 || limits.lockedMemory !== undefined) throw new Error("wrong");
 * ```
 */
export function parseLimits(text: string): ProcessLimits | undefined {
  const found = Object.entries(LIMIT_LINES).map(([name, line]) =>
    [name, line.exec(text)?.[1]] as const
  );
  if (found.some(([, value]) => value === undefined)) return undefined;
  return Object.fromEntries(
    found.filter(([, value]) => value !== "unlimited").map(([name, value]) => [
      name,
      Number(value),
    ]),
  );
}

/**
 * Parses `/proc/PID/status` (fs/proc/array.c, `task_state`).
 *
 * @param text of the file
 * @returns undefined if a line is missing
 *
 * @example
 * ```ts
 * import { parseAccount } from "./own_process.ts";
 *
 * const account = parseAccount("Uid:\t7\t8\t9\t9\nGid:\t1\t2\t3\t3\nGroups:\t4 5 \n");
 * if (account?.uid !== 9 || account.gids.join() !== "3,4,5") throw new Error("wrong");
 * ```
 */
export function parseAccount(text: string): ProcessAccount | undefined {
  // Real, effective, saved, file system.
  const uid = /^Uid:(?:\s+\d+){3}\s+(\d+)$/m.exec(text)?.[1];
  const gid = /^Gid:(?:\s+\d+){3}\s+(\d+)$/m.exec(text)?.[1];
  const groups = /^Groups:([\t \d]*)$/m.exec(text)?.[1];
  if (uid === undefined || gid === undefined || groups === undefined) return undefined;
  const more = groups.split(/\s+/).filter((word) => word !== "").map(Number);
  return { uid: Number(uid), gids: [Number(gid), ...more] };
}
