/**
 * Connecting to a process that was there before, and holding on to it. Of a socket's path nothing is
 * believed: who listens there is asked of the kernel.
 *
 * @module
 */
import { HostNotReadyError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";

/** What the process is to Bargate, for messages. */
export type PeerRole = "importer" | "owner";

/**
 * @param kernel the port
 * @param path of a SOCK_SEQPACKET socket
 * @param role of who should listen there
 * @returns the connection; the caller owns it
 * @throws {RefusedError} with the cause and what to do
 */
export function connectToPeer(kernel: Kernel, path: string, role: PeerRole): Fd {
  try {
    return kernel.connect(path);
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    const known = remedies(role)[cause.errnoName] ??
      "the kernel refused, for which no cause is known";
    const message = `Cannot connect to ${path}: ${known} (${cause.errnoName})`;
    throw new RefusedError(message, { cause });
  }
}

/**
 * Holds on to the process at the other end: a pid alone can come to mean another one. From here on
 * every packet brings its sender's pidfd.
 *
 * @param kernel the port
 * @param socket from {@linkcode connectToPeer}
 * @param path for messages
 * @returns the process that called `listen`; the caller owns it
 * @throws {HostNotReadyError} if this kernel cannot tell
 * @throws {RefusedError} if the process has ended
 */
export function holdPeer(kernel: Kernel, socket: Fd, path: string): Fd {
  const passes = kernel.passPidfds(socket);
  const pidfd = passes ? peerOf(kernel, socket, path) : "unsupported";
  if (pidfd !== "unsupported") return pidfd;
  throw new HostNotReadyError(
    `Cannot tell who listens on ${path}: this kernel has no SO_PEERPIDFD and SO_PASSPIDFD (Linux 6.5 or later), and a process id can be another process's by the time it is looked at`,
  );
}

function remedies(role: PeerRole): Readonly<Record<string, string>> {
  return {
    ENOENT: `there is no such socket; is the ${role} running? Start it first, or correct the path`,
    ECONNREFUSED: `nobody listens there, or it is no socket; is the ${role} running?`,
    EACCES: "this account may not connect to it",
    EPROTOTYPE: "it is a socket of another type; it must be SOCK_SEQPACKET",
    EAGAIN: `its queue of connections is full; the ${role} does not accept them`,
    ENAMETOOLONG: "the path of a socket has at most 107 bytes",
  };
}

/** The process that listens: kernels before 6.16 cannot name one that has gone. */
function peerOf(kernel: Kernel, socket: Fd, path: string): Fd | "unsupported" {
  try {
    return kernel.peerPidfd(socket);
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    const why = cause.errnoName === "ESRCH"
      ? "the process has ended"
      : "the kernel refused, for which no cause is known";
    const message = `Cannot tell who listens on ${path}: ${why} (${cause.errnoName})`;
    throw new RefusedError(message, { cause });
  }
}
