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

/** How long an answer is waited for. */
export interface AskLimits {
  /** Absent: as long as what takes longest, a reset. */
  readonly limitMs?: number;
  /** The answer is of no use any more once this is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Asks a running guardian.
 *
 * @param kernel the port
 * @param path of its socket
 * @param request what to do
 * @param limits of the wait
 * @returns the reply; absent: nobody listens there any more
 * @throws {RefusedError} if whoever listens is not to be believed, or does not answer
 */
export async function askGuardian(
  kernel: Kernel,
  path: string,
  request: ControlRequest,
  limits: AskLimits = {},
): Promise<ControlReply | undefined> {
  const socket = connectToGuardian(kernel, path);
  if (socket === undefined) return undefined;
  try {
    checkPeer(kernel, socket, path);
    const bytes = encodeControl(request, kindOfSocket(path) === "simulated");
    return replyIn(await exchange(kernel, socket, path, bytes, limits), path);
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

async function exchange(
  kernel: Kernel,
  socket: Fd,
  path: string,
  request: Uint8Array,
  { limitMs = LIMIT_MS, signal }: AskLimits,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const fail = (why: string) => reject(new RefusedError(`${path} ${why}`));
  const timer = setTimeout(() => fail(`has not answered within ${limitMs / 1000} s`), limitMs);
  const callOff = () => fail("is not waited for any more");
  signal?.addEventListener("abort", callOff);
  const take = (): boolean => {
    const packet = kernel.receive(socket);
    if (packet === "empty") return false;
    if (packet === "end") fail("was closed before it answered");
    else resolve(packet.bytes);
    return true;
  };
  const watch = kernel.watch(socket, take);
  try {
    // Whoever hangs up at once can have said why.
    if (!kernel.send(socket, request) && !take()) fail("does not take what it is asked");
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", callOff);
    watch.stop();
  }
}
