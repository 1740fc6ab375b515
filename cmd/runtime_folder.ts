/**
 * Where running guardians can be reached by their operator: a folder of private sockets. Root's and
 * each other account's are apart, and each sees its own only.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import type { GuardianKind } from "./operator_socket.ts";

const ROOT = 0;
/** Of root's guardians. */
const SYSTEM_FOLDER = "/run/bargate";
const STICKY = 0o1000;
const GROUP_OR_OTHERS = 0o077;
const GROUP_OR_OTHERS_WRITE = 0o022;

/**
 * The folder of the account that runs this. An account but root needs a private place that the
 * system made for it: in a folder that all can write to, whoever comes first decides what is there.
 * For simulated devices that is good enough: somebody else's folder is not used, and nothing is lost.
 *
 * @param uid of the account
 * @param own what `XDG_RUNTIME_DIR` says
 * @param kind of the guardians
 * @returns an absolute path
 * @throws {CommandError} host not ready: there is no such place
 *
 * @example
 * ```ts
 * import { runtimeFolder } from "./runtime_folder.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(runtimeFolder(0, undefined), "/run/bargate");
 * assert.equal(runtimeFolder(1000, "/run/user/1000"), "/run/user/1000/bargate");
 * assert.equal(runtimeFolder(1000, "", "simulated"), "/tmp/bargate-1000");
 * ```
 */
export function runtimeFolder(
  uid: number,
  own: string | undefined = Deno.env.get("XDG_RUNTIME_DIR"),
  kind: GuardianKind = "real",
): string {
  if (uid === ROOT) return SYSTEM_FOLDER;
  if (own?.startsWith("/")) return `${own}/bargate`;
  if (kind === "simulated" && (own ?? "") === "") return `/tmp/bargate-${uid}`;
  throw new CommandError(
    `Cannot tell where the operator's sockets of account ${uid} are: XDG_RUNTIME_DIR must name a private folder of the account, such as /run/user/${uid} (received ${
      own === undefined ? "none" : JSON.stringify(own)
    }); log in by systemd-logind, or set it`,
    ExitStatus.hostNotReady,
  );
}

/**
 * Makes the folder if it is not there, for its account alone.
 *
 * @param uid of the account
 * @param folder from {@linkcode runtimeFolder}
 * @throws {CommandError} host not ready: it cannot be made, or others could meddle with it
 */
export async function ensureRuntimeFolder(uid: number, folder: string): Promise<void> {
  if (await checkRuntimeFolder(uid, folder)) return;
  try {
    await Deno.mkdir(folder, { mode: 0o700 });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AlreadyExists)) throw cannotMake(folder, cause);
  }
  await checkRuntimeFolder(uid, folder);
}

function cannotMake(folder: string, cause: unknown): CommandError {
  return new CommandError(
    `Cannot make the folder of the operator's socket, ${folder}: ${
      fileTrouble(cause, "write")
    }; the folder above it must be there, and be this account's to write to (XDG_RUNTIME_DIR names it for all but root)`,
    ExitStatus.hostNotReady,
  );
}

/**
 * Checks that nobody else can have put anything into the folder.
 *
 * @param uid of the account
 * @param folder from {@linkcode runtimeFolder}
 * @returns whether it is there
 * @throws {CommandError} host not ready: others could meddle with it
 */
export async function checkRuntimeFolder(uid: number, folder: string): Promise<boolean> {
  const info = await lookAt(folder);
  if (info === undefined) return false;
  const mode = info.mode ?? GROUP_OR_OTHERS;
  if (!info.isDirectory || !isTrusted(info, uid) || (mode & GROUP_OR_OTHERS) !== 0) {
    throw loose(folder, uid, info, "must be a folder of account", "that nobody else can enter");
  }
  const parent = folder.slice(0, folder.lastIndexOf("/")) || "/";
  const above = await lookAt(parent);
  if (above === undefined || !isTrusted(above, uid) || isOpen(above)) {
    throw loose(parent, uid, above, "must belong to account", "and be nobody else's to write to");
  }
  return true;
}

function isTrusted({ uid }: Deno.FileInfo, account: number): boolean {
  return uid === account || uid === ROOT;
}

/** In a sticky folder nobody can rename or remove what is another's. */
function isOpen({ mode }: Deno.FileInfo): boolean {
  const bits = mode ?? GROUP_OR_OTHERS_WRITE;
  return (bits & GROUP_OR_OTHERS_WRITE) !== 0 && (bits & STICKY) === 0;
}

function loose(
  folder: string,
  uid: number,
  info: Deno.FileInfo | undefined,
  must: string,
  more: string,
): CommandError {
  const mode = ((info?.mode ?? 0) & 0o7777).toString(8);
  return new CommandError(
    `Cannot use ${folder} for operator's sockets: it ${must} ${uid} or root ${more} (received account ${info?.uid}, mode ${mode}); remove it, or correct its owner and mode`,
    ExitStatus.hostNotReady,
  );
}

async function lookAt(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new CommandError(
      `Cannot look at ${path}: ${fileTrouble(cause, "read")}`,
      ExitStatus.hostNotReady,
    );
  }
}
