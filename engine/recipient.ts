/**
 * Who a child will be: the account that it runs as and the executable that it is, settled before
 * anything is exported.
 *
 * @module
 */
import { type Files, FilesError } from "../host/files.ts";
import type { ImporterRule } from "../policy/model.ts";
import { sha256 } from "../policy/sha256.ts";
import { DeniedError, HostNotReadyError } from "./errors.ts";
import { identifyIfThere, isSameFile, loosePart } from "./executable_file.ts";
import type { Account, FileIdentity, Kernel } from "./kernel.ts";

/** A program that may be started as the importer. */
export interface Recipient {
  readonly account: Account;
  /** What to execute: by the path that was given, or, where the policy demands it, the file itself. */
  readonly executable: string;
}

const ROOT = 0;
/** A longer executable is not read whole to be hashed, bytes. */
const HASH_LIMIT = 256 * 1024 * 1024;
const TYPE_MASK = 0o170000;
const TYPE_REGULAR = 0o100000;
const ANY_EXECUTE = 0o111;

/**
 * Checks a program against an importer's identity.
 *
 * @param kernel the port
 * @param files for resolving links
 * @param importer who the policy wants it to be
 * @param path absolute path of the program
 * @param allowSameUser accept a child that runs as Bargate's own account, which can then trace
 *   Bargate's other programs, though not Bargate itself
 * @returns account and executable to start. Links are followed for the checks; a program that goes by
 *   several names (busybox, a virtual environment's python) is still started by the name it was given.
 *   Not where the policy demands an executable: a link could be changed after the check
 * @throws {DeniedError} if it is not the importer that the policy names
 * @throws {HostNotReadyError} if the account is not there, or Bargate cannot become it
 */
export function checkRecipient(
  kernel: Kernel,
  files: Files,
  importer: ImporterRule,
  path: string,
  allowSameUser: boolean,
): Recipient {
  refuseUnshown(importer);
  const account = accountOf(kernel, importer, allowSameUser);
  const real = realPathIfThere(files, path);
  const found = real === undefined ? undefined : identifyIfThere(kernel, real);
  if (real === undefined || found === undefined) {
    throw new HostNotReadyError(`Cannot start ${path}: it is not there`);
  }
  if ((found.mode & TYPE_MASK) !== TYPE_REGULAR || (found.mode & ANY_EXECUTE) === 0) {
    throw new HostNotReadyError(`Cannot start ${path}: it is no executable file`);
  }
  const { executable: wanted, sha256: hash } = importer.identity;
  if (wanted === undefined && hash === undefined) return { account, executable: path };
  if (wanted !== undefined) {
    checkExecutable(kernel, files, importer.name, real, found, wanted.value);
  }
  refuseLoose(kernel, importer.name, real);
  if (hash !== undefined) checkHash(files, importer.name, real, hash.value);
  return { account, executable: real };
}

/** What a program that Bargate starts cannot show must not be taken for shown. */
function refuseUnshown({ name, identity }: ImporterRule): void {
  const given = (["unit", "cgroup"] as const).filter((key) => identity[key]);
  if (given.length === 0) return;
  throw new HostNotReadyError(
    `Cannot start importer ${name}: its identity demands ${
      given.join(" and ")
    }, which a program that Bargate starts does not have; start it there and use --send`,
  );
}

function accountOf(kernel: Kernel, importer: ImporterRule, allowSameUser: boolean): Account {
  const user = importer.identity.user;
  if (user === undefined) {
    throw new HostNotReadyError(
      `Cannot start importer ${importer.name}: its identity names no user to run it as`,
    );
  }
  const account = kernel.account(user.value);
  if (account === undefined) {
    throw new HostNotReadyError(
      `Cannot start importer ${importer.name}: this host has no account ${
        JSON.stringify(user.value)
      }`,
    );
  }
  if (account.uid === kernel.uid && !allowSameUser) {
    throw new HostNotReadyError(
      `Cannot start importer ${importer.name} as ${user.value}: that is the account Bargate runs as, which could meddle with its files and other programs; give the importer an account of its own, or accept it with --allow-same-user`,
    );
  }
  if (account.uid !== kernel.uid && kernel.uid !== ROOT) {
    throw new HostNotReadyError(
      `Cannot start importer ${importer.name} as ${user.value}: only root can start programs as another account`,
    );
  }
  return { ...account, gid: groupOf(kernel, importer) ?? account.gid };
}

function groupOf(kernel: Kernel, importer: ImporterRule): number | undefined {
  const group = importer.identity.group;
  if (group === undefined) return undefined;
  const gid = kernel.groupId(group.value);
  if (gid === undefined) {
    throw new HostNotReadyError(
      `Cannot start importer ${importer.name}: this host has no group ${
        JSON.stringify(group.value)
      }`,
    );
  }
  return gid;
}

/** Absent: links and all, it leads to nothing. */
function realPathIfThere(files: Files, path: string): string | undefined {
  try {
    return files.realPath(path);
  } catch (error) {
    if (error instanceof FilesError && error.reason === "absent") return undefined;
    throw error;
  }
}

function checkExecutable(
  kernel: Kernel,
  files: Files,
  importer: string,
  executable: string,
  found: FileIdentity,
  wanted: string,
): void {
  const path = realPathIfThere(files, wanted);
  const expected = path === undefined ? undefined : identifyIfThere(kernel, path);
  if (expected === undefined) {
    throw new HostNotReadyError(
      `Cannot give importer ${importer} its grants: its executable ${wanted} is not on this host; install it, or correct the policy`,
    );
  }
  if (!isSameFile(expected, found)) {
    throw new DeniedError(
      `Cannot give importer ${importer} its grants: its executable must be ${wanted} (received ${executable})`,
    );
  }
}

/** What was checked must be what is started. */
function refuseLoose(kernel: Kernel, importer: string, executable: string): void {
  const loose = loosePart(kernel, executable);
  if (loose !== undefined) {
    throw new DeniedError(
      `Cannot trust ${executable} as the identity of importer ${importer}: others can replace it, for ${loose} is not root's or Bargate's alone to write`,
    );
  }
}

function checkHash(files: Files, importer: string, executable: string, wanted: string): void {
  const bytes = files.read(executable, HASH_LIMIT);
  if (bytes.length >= HASH_LIMIT) {
    throw new HostNotReadyError(
      `Cannot check the sha256 of ${executable} for importer ${importer}: it has ${HASH_LIMIT} bytes or more`,
    );
  }
  const received = sha256(bytes);
  if (received === wanted) return;
  throw new DeniedError(
    `Cannot give importer ${importer} its grants: the sha256 of ${executable} must be ${wanted} (received ${received})`,
  );
}
