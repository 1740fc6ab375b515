/**
 * Unix accounts and groups, by the host's name service (passwd, LDAP, systemd).
 *
 * @module
 */
import type { Account } from "../engine/kernel.ts";
import { addressOf } from "./address.ts";
import { fromCString, toCString } from "./c_string.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { allocate, decode, type Layout } from "./struct.ts";

/** An account with a home in LDAP fits easily; a group lists its members, and can have thousands. */
const FIRST_ROOM = 4 * 1024;
const LAST_ROOM = 4 * 1024 * 1024;

/** Answers that mean: no such name (getpwnam_r(3) lists them). */
const UNKNOWN: ReadonlySet<number> = new Set([0, ERRNO.ENOENT, ERRNO.ESRCH, ERRNO.EBADF]);

/** The C functions' common end: buffer, its size, and where to put the result. */
type Lookup = (
  out: DataView<ArrayBuffer>,
  room: Uint8Array<ArrayBuffer>,
  size: bigint,
  result: BigUint64Array<ArrayBuffer>,
) => number;

/** What was found, with the memory that its pointers point into. */
interface Found {
  readonly record: DataView<ArrayBuffer>;
  readonly room: Uint8Array<ArrayBuffer>;
}

/**
 * An account by name, or by decimal uid where no account has such a name.
 *
 * @param user `nvmf`, `997`
 * @returns absent: no such account
 * @throws {KernelError} if the name service fails
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { findAccount } from "./account.ts";
 *
 * if (findAccount("0")?.name !== "root") throw new Error("0 is root");
 * ```
 */
export function findAccount(user: string): Account | undefined {
  const found = accountByName(user) ?? accountByUid(user);
  if (found === undefined) return undefined;
  const { pw_uid, pw_gid, pw_name, pw_dir, pw_shell } = decode(STRUCTS.passwd, found.record);
  const [home, shell] = [textAt(pw_dir, found.room), textAt(pw_shell, found.room)];
  return {
    uid: pw_uid,
    gid: pw_gid,
    name: textAt(pw_name, found.room),
    ...(home === "" ? {} : { home }),
    ...(shell === "" ? {} : { shell }),
  };
}

function accountByName(user: string): Found | undefined {
  const name = toCString(user);
  const { getpwnam_r } = libc();
  return lookUp("getpwnam_r", user, STRUCTS.passwd, (...rest) => getpwnam_r(name, ...rest));
}

function accountByUid(user: string): Found | undefined {
  const uid = decimal(user);
  if (uid === undefined) return undefined;
  const { getpwuid_r } = libc();
  return lookUp("getpwuid_r", user, STRUCTS.passwd, (...rest) => getpwuid_r(uid, ...rest));
}

/**
 * A group by name, or by decimal gid where no group has such a name.
 *
 * @param group `nvmf`, `997`
 * @returns its gid; absent: no such group
 * @throws {KernelError} if the name service fails
 */
export function findGroupId(group: string): number | undefined {
  const found = groupByName(group) ?? groupByGid(group);
  return found === undefined ? undefined : decode(STRUCTS.group, found.record).gr_gid;
}

function groupByName(group: string): Found | undefined {
  const name = toCString(group);
  const { getgrnam_r } = libc();
  return lookUp("getgrnam_r", group, STRUCTS.group, (...rest) => getgrnam_r(name, ...rest));
}

function groupByGid(group: string): Found | undefined {
  const gid = decimal(group);
  if (gid === undefined) return undefined;
  const { getgrgid_r } = libc();
  return lookUp("getgrgid_r", group, STRUCTS.group, (...rest) => getgrgid_r(gid, ...rest));
}

/** 2^32-1 means "none" to the kernel, and is nobody's id. */
function decimal(text: string): number | undefined {
  return /^[0-9]{1,10}$/.test(text) && Number(text) < 0xffffffff ? Number(text) : undefined;
}

/** A name service can leave a field out. */
function textAt(pointer: bigint, room: Uint8Array<ArrayBuffer>): string {
  if (pointer === 0n) return "";
  return fromCString(room.subarray(Number(pointer - addressOf(room))));
}

/** Asks with more and more room: how much a record takes is known only to who has it. */
function lookUp(call: string, subject: string, layout: Layout, lookup: Lookup): Found | undefined {
  for (let size = FIRST_ROOM; size <= LAST_ROOM; size *= 4) {
    const found = { record: allocate(layout), room: new Uint8Array(new ArrayBuffer(size)) };
    const result = new BigUint64Array(new ArrayBuffer(8));
    const error = lookup(found.record, found.room, BigInt(size), result);
    if (error === 0 && result[0] !== 0n) return found;
    if (UNKNOWN.has(error)) return undefined;
    if (error !== ERRNO.ERANGE) throw kernelError(call, -error, subject);
  }
  throw kernelError(call, -ERRNO.ERANGE, subject);
}
