/**
 * Whether a process that Bargate did not start is the importer that a policy names. It is held by a
 * pidfd throughout, so that what is read is of that very process and of no later one with its pid.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import type { ImporterIdentity, ImporterRule } from "../policy/model.ts";
import { DeniedError, HostNotReadyError, RefusedError } from "./errors.ts";
import { identifyIfThere, isSameFile, loosePart } from "./executable_file.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, ProcessIdentity } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";

/** What is around the check. */
export interface PeerContext {
  readonly kernel: Kernel;
  /** For resolving links of the executable's path. */
  readonly files: Files;
  /** Accept a process of Bargate's own account. */
  readonly allowSameUser: boolean;
}

/** @returns what is wrong with one field: what it must be, and what was received; absent: it holds */
type Check = (
  context: PeerContext,
  wanted: string,
  found: ProcessIdentity,
) => string | undefined;

/** Every field of an identity, in the order in which failures are told. */
const CHECKS: Readonly<Record<keyof ImporterIdentity, Check>> = {
  user: checkUser,
  group: checkGroup,
  unit: (_, wanted, { unit }) => unlike("unit", wanted, unit),
  cgroup: (_, wanted, { cgroup }) => unlike("cgroup", wanted, cgroup),
  executable: checkExecutable,
  sha256: (_, wanted, { executable }) => unlike("sha256", wanted, executable.sha256),
};

/**
 * Checks a process against an importer's identity. Every field that is given must hold.
 *
 * @param context port and options
 * @param importer who the policy wants it to be
 * @param pidfd the process; it has not ended when this resolves
 * @returns who it is
 * @throws {DeniedError} if it is somebody else; names each field that does not hold, with what was
 *   wanted and what was received
 * @throws {HostNotReadyError} if it is of Bargate's own account, if the host lacks what the identity
 *   names, or if Bargate may not look at the process
 * @throws {RefusedError} if it has ended, or does not hold still
 */
export async function checkPeer(
  context: PeerContext,
  importer: ImporterRule,
  pidfd: Fd,
): Promise<ProcessIdentity> {
  refuseNameless(importer);
  const found = await identify(context.kernel, importer, pidfd);
  const wrong = identityDifferences(context, importer.identity, found);
  if (wrong.length > 0) {
    throw new DeniedError(
      `Cannot give importer ${importer.name} its grants: of process ${found.pid} ${
        wrong.join(", and ")
      }`,
    );
  }
  refuseSameUser(context, importer, found);
  // What was read of files since says nothing of a process that has gone meanwhile.
  if (context.kernel.hasExited(pidfd)) throw gone(importer);
  return found;
}

/**
 * Compares a process with an identity.
 *
 * @param context port and files
 * @param identity every field that is given must hold
 * @param found who the process is
 * @returns of each field that does not hold, what was wanted and what was received
 */
export function identityDifferences(
  context: PeerContext,
  identity: ImporterIdentity,
  found: ProcessIdentity,
): readonly string[] {
  return Object.entries(CHECKS).flatMap(([field, check]) => {
    const wanted = identity[field as keyof ImporterIdentity]?.value;
    return wanted === undefined ? [] : check(context, wanted, found) ?? [];
  });
}

/** Whoever can trace or preload a program can make it do anything: a file alone is nobody. */
function refuseNameless({ name, identity }: ImporterRule): void {
  if (identity.user ?? identity.unit ?? identity.cgroup) return;
  throw new DeniedError(
    `Cannot give importer ${name} its grants: its identity names neither user nor unit nor cgroup`,
  );
}

async function identify(
  kernel: Kernel,
  importer: ImporterRule,
  pidfd: Fd,
): Promise<ProcessIdentity> {
  let found: ProcessIdentity | undefined;
  try {
    found = await kernel.identifyProcess(pidfd, {
      sha256: importer.identity.sha256 !== undefined,
    });
  } catch (error) {
    throw unreadable(importer, error);
  }
  if (found === undefined) throw gone(importer);
  return found;
}

function unreadable({ name }: ImporterRule, error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  const what = `Cannot tell whether the process is importer ${name}`;
  if (error.errnoName === "EACCES" || error.errnoName === "EPERM") {
    return new HostNotReadyError(
      `${what}: Bargate may not look at processes of that account; run it as root`,
      { cause: error },
    );
  }
  return new RefusedError(
    `${what}: it does not hold still to be looked at (${error.errnoName})`,
    { cause: error },
  );
}

function gone({ name }: ImporterRule): RefusedError {
  return new RefusedError(`Cannot give importer ${name} its grants: the process has ended`);
}

function refuseSameUser(
  { kernel, allowSameUser }: PeerContext,
  { name }: ImporterRule,
  found: ProcessIdentity,
): void {
  if (found.uid !== kernel.uid || allowSameUser) return;
  throw new HostNotReadyError(
    `Cannot give importer ${name} its grants: process ${found.pid} runs as the account Bargate runs as, and could meddle with its files and other programs; give the importer an account of its own, or accept it with --allow-same-user`,
  );
}

function unlike(field: string, wanted: string, received: string | undefined): string | undefined {
  if (received === wanted) return undefined;
  return `${field} must be ${wanted} (received ${received ?? "none"})`;
}

function checkUser(
  { kernel }: PeerContext,
  wanted: string,
  found: ProcessIdentity,
): string | undefined {
  const uid = kernel.account(wanted)?.uid ?? decimal(wanted);
  if (uid === undefined) return `user must be ${wanted}, which this host does not have`;
  if (uid === found.uid) return undefined;
  return `user must be ${wanted}, uid ${uid} (received uid ${found.uid})`;
}

function checkGroup(
  { kernel }: PeerContext,
  wanted: string,
  { gid, groups }: ProcessIdentity,
): string | undefined {
  const id = kernel.groupId(wanted) ?? decimal(wanted);
  if (id === undefined) return `group must be ${wanted}, which this host does not have`;
  const all = [...new Set([gid, ...groups])];
  if (all.includes(id)) return undefined;
  return `group must be ${wanted}, gid ${id} (received gids ${all.join(", ")})`;
}

/** A number needs no entry in the host's tables: those of containers often have none. */
function decimal(text: string): number | undefined {
  return /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : undefined;
}

/** The file that the process executes is compared, not its path: a path can be anything. */
function checkExecutable(
  { kernel, files }: PeerContext,
  wanted: string,
  { executable }: ProcessIdentity,
): string | undefined {
  const expected = identifyIfThere(kernel, wanted);
  if (expected === undefined) return `executable must be ${wanted}, which is not on this host`;
  if (!isSameFile(expected, executable)) {
    return `executable must be ${wanted} (received ${executable.path})`;
  }
  const loose = loosePart(kernel, files.realPath(wanted));
  if (loose === undefined) return undefined;
  return `executable cannot be trusted to be ${wanted}: others can replace it, for ${loose} is not root's or Bargate's alone to write`;
}
