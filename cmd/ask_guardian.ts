/**
 * Asking a running guardian by its operator's socket.
 *
 * @module
 */
import { PacketError } from "../engine/channel.ts";
import {
  type ControlReply,
  type ControlRequest,
  encodeControlRequest,
  parseControlReply,
} from "../engine/control.ts";
import { RefusedError } from "../engine/errors.ts";
import type { Fd } from "../engine/fd.ts";
import type { Kernel, Packet } from "../engine/kernel.ts";
import { StrangersFiles } from "../engine/strangers_files.ts";
import { connectToGuardian, kindOfSocket } from "./operator_socket.ts";

/** How long a guardian may take to answer. A function reset alone may take 60 s (PCIe). */
const LIMIT_MS = 90_000;
const ROOT = 0;

/** A guardian has not answered in time. */
export class SilentError extends RefusedError {}

/** How long an answer is waited for. */
export interface AskLimits {
  /** Absent: as long as what takes longest, a reset. */
  readonly limitMs?: number;
  /** The answer is not waited for any more once this is aborted; an error as its reason is thrown. */
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
 * @throws {SilentError} if there is no answer within the limit
 * @throws {RefusedError} if whoever listens is not to be believed, or does not answer, or the request is
 * too long
 */
export async function askGuardian(
  kernel: Kernel,
  path: string,
  request: ControlRequest,
  limits: AskLimits = {},
): Promise<ControlReply | undefined> {
  const socket = connectToGuardian(kernel, path);
  if (socket === undefined) return undefined;
  const files = new StrangersFiles(kernel, path);
  try {
    const who = checkPeer(kernel, socket, path);
    const asked = bytesOf(request, path);
    const { bytes, fds } = await exchange(kernel, socket, who, asked, limits);
    // None belongs to a reply.
    for (const fd of fds) files.discard(fd);
    return replyIn(bytes, path);
  } finally {
    files.hangUp(socket);
    files.end();
  }
}

function bytesOf(request: ControlRequest, path: string): Uint8Array {
  try {
    return encodeControlRequest(request, kindOfSocket(path) === "simulated");
  } catch (cause) {
    if (!(cause instanceof PacketError)) throw cause;
    throw new RefusedError(`Cannot ask ${path}: ${cause.message}`, { cause });
  }
}

/**
 * Whoever listens could say that a reset was done; only root and this account are believed.
 *
 * @returns who it is, for messages
 */
function checkPeer(kernel: Kernel, socket: Fd, path: string): string {
  const { pid, uid } = kernel.peerCredentials(socket);
  // A process of another pid namespace has no number here.
  if (uid === ROOT || uid === kernel.uid) return pid === 0 ? path : `process ${pid} (${path})`;
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
  who: string,
  request: Uint8Array,
  { limitMs = LIMIT_MS, signal }: AskLimits,
): Promise<Packet> {
  const { promise, resolve, reject } = Promise.withResolvers<Packet>();
  const fail = (why: string) => reject(new RefusedError(`${who} ${why}`));
  const timer = setTimeout(() => {
    reject(new SilentError(`${who} has not answered within ${limitMs / 1000} s`));
  }, limitMs);
  const callOff = () => {
    if (signal?.reason instanceof RefusedError) reject(signal.reason);
    else fail("is not waited for any more");
  };
  signal?.addEventListener("abort", callOff);
  let answered = false;
  const take = (): boolean => {
    // What comes after the answer is left to the end of the connection, with its descriptors.
    if (answered) return true;
    const packet = kernel.receive(socket);
    if (packet === "empty") return false;
    answered = true;
    if (packet === "end") fail("was closed before it answered");
    else resolve(packet);
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
