/**
 * Asking a running guardian by its operator's socket.
 *
 * @module
 */
import { PacketError } from "../engine/channel.ts";
import {
  type ControlReply,
  type ControlRequest,
  encodeControl,
  parseControlReply,
} from "../engine/control.ts";
import { RefusedError } from "../engine/errors.ts";
import type { Fd } from "../engine/fd.ts";
import type { Kernel } from "../engine/kernel.ts";
import { connectToGuardian, kindOfSocket } from "./operator_socket.ts";

/** How long a guardian may take to answer. A function reset alone may take 60 s (PCIe). */
const LIMIT_MS = 90_000;
const ROOT = 0;

/**
 * Asks a running guardian.
 *
 * @param kernel the port
 * @param path of its socket
 * @param request what to do
 * @returns the reply; absent: nobody listens there any more
 * @throws {RefusedError} if whoever listens is not to be believed, or does not answer
 */
export async function askGuardian(
  kernel: Kernel,
  path: string,
  request: ControlRequest,
): Promise<ControlReply | undefined> {
  const socket = connectToGuardian(kernel, path);
  if (socket === undefined) return undefined;
  try {
    checkPeer(kernel, socket, path);
    const answered = nextPacket(kernel, socket, path);
    kernel.send(socket, encodeControl(request, kindOfSocket(path) === "simulated"));
    return replyIn(await answered, path);
  } finally {
    kernel.close(socket);
  }
}

/** Whoever listens could say that a reset was done; only root and this account are believed. */
function checkPeer(kernel: Kernel, socket: Fd, path: string): void {
  const { pid, uid } = kernel.peerCredentials(socket);
  if (uid === ROOT || uid === kernel.uid) return;
  throw new RefusedError(
    `Cannot believe ${path}: process ${pid} of account ${uid} listens there, and not this account or root; remove the file`,
  );
}

function replyIn(bytes: Uint8Array, path: string): ControlReply {
  try {
    return parseControlReply(bytes);
  } catch (cause) {
    if (!(cause instanceof PacketError)) throw cause;
    throw new RefusedError(`Cannot understand the answer of ${path}`, { cause });
  }
}

async function nextPacket(kernel: Kernel, socket: Fd, path: string): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const timer = setTimeout(
    () => reject(new RefusedError(`${path} has not answered within ${LIMIT_MS / 1000} s`)),
    LIMIT_MS,
  );
  const watch = kernel.watch(socket, () => {
    const packet = kernel.receive(socket);
    if (packet === "empty") return;
    if (packet === "end") reject(new RefusedError(`${path} was closed before it answered`));
    else resolve(packet.bytes);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    watch.stop();
  }
}
