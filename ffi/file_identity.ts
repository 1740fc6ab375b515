/**
 * Which file a path or a descriptor is: statx(2), for `struct stat` differs between architectures.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { FileIdentity } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { checked, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { readingLibc } from "./libc.ts";
import { allocate, decode, type Values } from "./struct.ts";

type Statx = Values<typeof STRUCTS.statx.fields>;

const EMPTY = toCString("");

/**
 * stat by path, following links.
 *
 * @param path the file
 * @throws {KernelError}
 */
export function identifyPath(path: string): FileIdentity {
  return identity(statx(C.AT_FDCWD, toCString(path), 0, path));
}

/**
 * stat by descriptor, with the file's size.
 *
 * @param fd the file
 * @returns its identity and its size in bytes
 * @throws {KernelError}
 */
export function identifyDescriptor(fd: Fd): FileIdentity & { readonly size: bigint } {
  const facts = statx(fd.number, EMPTY, C.AT_EMPTY_PATH, fd.what);
  return { ...identity(facts), size: facts.stx_size };
}

/** Whether the file is of a type: `S_IFSOCK` and others. */
export function isType(file: FileIdentity, type: number): boolean {
  return (file.mode & C.S_IFMT) === type;
}

function statx(
  directory: number,
  path: Uint8Array<ArrayBuffer>,
  flags: number,
  subject: string,
): Statx {
  const out = allocate(STRUCTS.statx);
  const mask = C.STATX_BASIC_STATS;
  checked("statx", subject, reissued(() => readingLibc().statx(directory, path, flags, mask, out)));
  return decode(STRUCTS.statx, out);
}

function identity(facts: Statx): FileIdentity {
  return {
    device: deviceNumber(facts.stx_dev_major, facts.stx_dev_minor),
    inode: facts.stx_ino,
    rdev: deviceNumber(facts.stx_rdev_major, facts.stx_rdev_minor),
    mode: facts.stx_mode,
    uid: facts.stx_uid,
    gid: facts.stx_gid,
  };
}

/** glibc's `makedev`: what `stat` and `/proc` show as one number. */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (high & 0xfffff000n) << 32n | (high & 0xfffn) << 8n | (low & 0xffffff00n) << 12n |
    low & 0xffn;
}
