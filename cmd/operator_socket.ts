/**
 * The socket of a running guardian in the runtime folder: `PID.sock`, or `PID.sim.sock` where its devices
 * are simulated.
 *
 * @module
 */
import { RefusedError } from "../engine/errors.ts";
import type { Fd } from "../engine/fd.ts";
import type { Kernel } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";

/** A socket of a guardian, by the process that made it. */
export interface OperatorSocket {
  readonly path: string;
  readonly pid: number;
}

/** Of guardians of this host's devices, or of simulated ones: who asks for one never gets the other. */
export type GuardianKind = "real" | "simulated";

const NAMES: Readonly<Record<GuardianKind, RegExp>> = {
  real: /^([0-9]{1,9})\.sock$/,
  simulated: /^([0-9]{1,9})\.sim\.sock$/,
};

/** Of which kind a guardian is, by the name of its socket. */
export function kindOfSocket(path: string): GuardianKind {
  return NAMES.simulated.test(path.slice(path.lastIndexOf("/") + 1)) ? "simulated" : "real";
}

/**
 * Lists the sockets of guardians, running or not.
 *
 * @param folder the runtime folder
 * @param kind of guardian
 * @returns in order of process ids; none where the folder is not there
 */
export async function operatorSockets(
  folder: string,
  kind: GuardianKind = "real",
): Promise<readonly OperatorSocket[]> {
  const found: OperatorSocket[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const [, pid] = NAMES[kind].exec(name) ?? [];
      if (pid !== undefined) found.push({ path: `${folder}/${name}`, pid: Number(pid) });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new CommandError(
        `Cannot list the operator's sockets in ${folder}: ${fileTrouble(error, "read")}`,
        ExitStatus.hostNotReady,
      );
    }
  }
  return found.sort((a, b) => a.pid - b.pid);
}

/**
 * Listens for operators; sockets that guardians left behind when they were killed are removed.
 *
 * @param kernel the port
 * @param folder the runtime folder
 * @returns the listener, which the caller owns, and where it is
 * @throws {CommandError} host not ready, with what to do
 */
export async function listenForOperators(
  kernel: Kernel,
  folder: string,
): Promise<{ readonly path: string; readonly listener: Fd }> {
  const kind = kernel.simulated === true ? "simulated" : "real";
  for (const socket of await operatorSockets(folder, kind)) {
    if (isStale(kernel, socket)) await removeSocket(socket.path);
  }
  const path = `${folder}/${kernel.pid}${kind === "simulated" ? ".sim" : ""}.sock`;
  return { path, listener: listen(kernel, path) };
}

/**
 * Connects to a guardian.
 *
 * @param kernel the port
 * @param path of its socket
 * @returns the connection, which the caller owns; absent: nobody listens there any more
 * @throws {RefusedError} for another reason
 */
export function connectToGuardian(kernel: Kernel, path: string): Fd | undefined {
  try {
    return kernel.connect(path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.errnoName === "ECONNREFUSED" || error.errnoName === "ENOENT") return undefined;
    throw new RefusedError(`Cannot reach ${path}: the kernel answered ${error.errnoName}`);
  }
}

/** Removes a socket; somebody else may have done so already. */
export async function removeSocket(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * Nobody listens, and nobody will: between `bind` and `listen` a socket refuses too, and a process
 * that is not seen here can live in another pid namespace.
 */
function isStale(kernel: Kernel, { path, pid }: OperatorSocket): boolean {
  if (isAlive(kernel, pid)) return false;
  const socket = connectToGuardian(kernel, path);
  if (socket === undefined) return true;
  kernel.close(socket);
  return false;
}

function isAlive(kernel: Kernel, pid: number): boolean {
  try {
    kernel.close(kernel.openProcess(pid));
    return true;
  } catch (error) {
    if (error instanceof KernelError) return error.errnoName !== "ESRCH";
    throw error;
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENAMETOOLONG: "the path of a socket has at most 107 bytes; set XDG_RUNTIME_DIR to a shorter one",
  EADDRINUSE:
    "another process listens there, or something that is no socket is in the way; remove the file if no bargate of another container uses it",
  EACCES: "the folder must be this account's to write to",
  EROFS: "the folder's file system cannot be written to",
  ENOSPC: "the folder's file system is full",
};

function listen(kernel: Kernel, path: string): Fd {
  try {
    return kernel.listen(path);
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    const why = REMEDIES[cause.errnoName] ?? `the kernel answered ${cause.errnoName}`;
    throw new CommandError(
      `Cannot listen for the operator on ${path}: ${why}`,
      ExitStatus.hostNotReady,
    );
  }
}
