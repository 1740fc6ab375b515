/**
 * Unix sockets of type SOCK_SEQPACKET: packets that carry descriptors (SCM_RIGHTS) and the sender's
 * credentials (SCM_CREDENTIALS). All are close-on-exec and non-blocking.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Credentials, Packet, PacketFlaw } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { ControlReader, ControlWriter, FDS_LIMIT } from "./control_message.ts";
import { closeDescriptor } from "./descriptors.ts";
import { checked, ERRNO, kernelError, reissued } from "./errno.ts";
import { identifyPath, isType } from "./file_identity.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { MessageBuffer } from "./message_buffer.ts";
import { allocate, decode, setNumber } from "./struct.ts";

/** Bytes of the largest packet. */
export const PACKET_LIMIT = 64 * 1024;

const TYPE = C.SOCK_SEQPACKET | C.SOCK_CLOEXEC | C.SOCK_NONBLOCK;
const ADDRESS = STRUCTS.sockaddr_un;

/** Errors of `sendmsg` that mean: the peer has gone, or does not read. */
const NOT_TAKEN: ReadonlySet<number> = new Set([
  -ERRNO.EAGAIN,
  -ERRNO.EPIPE,
  -ERRNO.ECONNRESET,
  -ERRNO.ENOTCONN,
]);

/**
 * A connected pair.
 *
 * @param what whose they are, for messages
 * @returns both ends; the caller owns them
 * @throws {KernelError}
 */
export function socketPair(what: string): [Fd, Fd] {
  const pair = new Int32Array(new ArrayBuffer(8));
  checked("socketpair", what, reissued(() => libc().socketpair(C.AF_UNIX, TYPE, 0, pair)));
  const [first, second] = [new Fd(pair[0] ?? -1, what), new Fd(pair[1] ?? -1, what)];
  return guarded([first, second], () => {
    passCredentials(first);
    passCredentials(second);
    return [first, second];
  });
}

/**
 * Listens on a path with mode 0600. The mode is set on the socket before `bind` makes the node from
 * it, so that there is no moment with another mode, whatever the process's umask. A socket that
 * nobody listens on is replaced; anything else in the way stays.
 *
 * @param path at most 107 bytes
 * @returns the listener; the caller owns it
 * @throws {KernelError} EADDRINUSE where somebody listens, or the path is no socket
 */
export function listenOn(path: string): Fd {
  const socket = openSocket(path);
  return guarded([socket], () => {
    checked("fchmod", path, reissued(() => libc().fchmod(socket.number, 0o600)));
    bindReplacingStale(socket, path);
    checked("listen", path, reissued(() => libc().listen(socket.number, C.SOMAXCONN)));
    return socket;
  });
}

/**
 * Takes a waiting connection.
 *
 * @param listener from {@linkcode listenOn}
 * @returns absent: none waits
 * @throws {KernelError}
 */
export function acceptFrom(listener: Fd): Fd | undefined {
  const flags = C.SOCK_CLOEXEC | C.SOCK_NONBLOCK;
  const result = reissued(() => libc().accept4(listener.number, null, null, flags));
  if (result === -ERRNO.EAGAIN || result === -ERRNO.ECONNABORTED) return undefined;
  const socket = new Fd(checked("accept4", listener.what, result), `client of ${listener.what}`);
  return guarded([socket], () => {
    passCredentials(socket);
    return socket;
  });
}

/**
 * Connects to a path.
 *
 * @param path where somebody listens
 * @returns the connection; the caller owns it
 * @throws {KernelError} ECONNREFUSED where nobody does
 */
export function connectTo(path: string): Fd {
  const socket = openSocket(path);
  return guarded([socket], () => {
    checked("connect", path, connectResult(socket, path));
    return socket;
  });
}

/**
 * SO_PEERCRED: who called `connect`, `listen` or `socketpair` at the other end.
 *
 * @param socket connected
 * @throws {KernelError}
 */
export function peerCredentials(socket: Fd): Credentials {
  const out = allocate(STRUCTS.ucred);
  const length = new Uint32Array([STRUCTS.ucred.size]);
  const result = reissued(() =>
    libc().getsockopt(socket.number, C.SOL_SOCKET, C.SO_PEERCRED, out, length)
  );
  checked("getsockopt(SO_PEERCRED)", socket.what, result);
  return decode(STRUCTS.ucred, out);
}

/**
 * SO_PEERPIDFD: a pidfd of who called `connect`, `listen` or `socketpair` at the other end, also
 * when it has ended since. Unlike the pid of {@linkcode peerCredentials} it cannot come to mean
 * another process.
 *
 * @param socket connected
 * @returns the pidfd, close-on-exec; the caller owns it. `unsupported`: the kernel cannot tell
 * @throws {KernelError} ESRCH where the process has gone and the kernel is one before 6.16
 */
export function peerPidfd(socket: Fd): Fd | "unsupported" {
  const out = new Int32Array([-1]);
  const length = new Uint32Array([out.byteLength]);
  const result = reissued(() =>
    libc().getsockopt(socket.number, C.SOL_SOCKET, C.SO_PEERPIDFD, out, length)
  );
  if (UNKNOWN_OPTION.has(result)) return "unsupported";
  checked("getsockopt(SO_PEERPIDFD)", socket.what, result);
  return new Fd(out[0] ?? -1, `peer of ${socket.what}`);
}

/**
 * SO_PASSPIDFD: from now on packets that are received bring a pidfd of their sender.
 *
 * @param socket connected
 * @returns false: the kernel cannot
 * @throws {KernelError}
 */
export function passPidfds(socket: Fd): boolean {
  const result = switchOn(socket, C.SO_PASSPIDFD);
  if (UNKNOWN_OPTION.has(result)) return false;
  checked("setsockopt(SO_PASSPIDFD)", socket.what, result);
  return true;
}

const UNKNOWN_OPTION: ReadonlySet<number> = new Set([-ERRNO.ENOPROTOOPT, -ERRNO.EOPNOTSUPP]);

/**
 * Sends one packet.
 *
 * @param socket connected
 * @param bytes at most 64 KiB
 * @param fds at most 253; they stay open here
 * @returns false when the peer has gone or does not read
 * @throws {KernelError} EMSGSIZE, EINVAL where it is too much
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { receivePacket, sendPacket, socketPair } from "./seqpacket.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 *
 * const [here, there] = socketPair("example");
 * sendPacket(here, new TextEncoder().encode("hello"));
 * const packet = receivePacket(there);
 * if (typeof packet === "string") throw new Error("one packet waits");
 * if (packet.sender.pid !== Deno.pid) throw new Error("we sent it");
 * [here, there].forEach(closeDescriptor);
 * ```
 */
export function sendPacket(socket: Fd, bytes: Uint8Array, fds: readonly Fd[] = []): boolean {
  if (bytes.length > PACKET_LIMIT) throw kernelError("sendmsg", -ERRNO.EMSGSIZE, socket.what);
  if (fds.length > FDS_LIMIT) throw kernelError("sendmsg", -ERRNO.EINVAL, socket.what);
  const buffer = outgoing();
  buffer.fill(bytes, new ControlWriter(buffer.control).rights(fds.map((fd) => fd.number)));
  const flags = C.MSG_DONTWAIT | C.MSG_NOSIGNAL;
  const result = reissued(() => libc().sendmsg(socket.number, buffer.header, flags));
  if (NOT_TAKEN.has(result)) return false;
  checked("sendmsg", socket.what, result);
  return true;
}

/**
 * Takes one packet. Of a truncated one there can be descriptors too: whose close can wait is not closed
 * here.
 *
 * @param socket connected
 * @returns the packet, whose descriptors and pidfd the caller owns; `empty`: none waits; `end`: the peer has
 * gone
 * @throws {KernelError}
 */
export function receivePacket(socket: Fd): Packet | "empty" | "end" {
  const buffer = incoming();
  buffer.reset();
  const flags = C.MSG_DONTWAIT | C.MSG_CMSG_CLOEXEC;
  const result = reissued(() => libc().recvmsg(socket.number, buffer.header, flags));
  if (result === -ERRNO.EAGAIN) return "empty";
  if (result === -ERRNO.ECONNRESET) return "end";
  const length = checked("recvmsg", socket.what, result);
  return packetIn(buffer, length, `packet from ${socket.what}`);
}

/**
 * Ends a connection in both directions (SHUT_RDWR), as its close would, but at once: the peer reads what
 * it was sent, then the end, and can send nothing more. What it had sent can be taken still.
 *
 * @param socket connected; stays open
 * @throws {KernelError}
 */
export function shutDown(socket: Fd): void {
  const result = reissued(() => libc().shutdown(socket.number, C.SHUT_RDWR));
  // A socket that never was connected has nothing to end.
  if (result !== -ERRNO.ENOTCONN) checked("shutdown", socket.what, result);
}

/** The end has no credentials; a packet of no bytes has. */
function packetIn(buffer: MessageBuffer, length: number, what: string): Packet | "end" {
  const control = new ControlReader(buffer.receivedControl()).read();
  const { sender } = control;
  const fds = control.numbers.map((number) => new Fd(number, `descriptor in a ${what}`));
  const pidfds = control.pidfd === undefined ? [] : [new Fd(control.pidfd, `sender of a ${what}`)];
  const flaw = flawOf(buffer.flags, sender);
  if (flaw !== undefined) pidfds.forEach(closeDescriptor);
  const [pidfd] = flaw === undefined ? pidfds : [];
  if (flaw === "no-sender" && length === 0) return "end";
  return {
    bytes: buffer.data.slice(0, length),
    fds,
    sender: sender ?? NOBODY,
    ...(pidfd !== undefined && { pidfd }),
    ...(flaw !== undefined && { flaw }),
  };
}

function flawOf(flags: number, sender: Credentials | undefined): PacketFlaw | undefined {
  if ((flags & C.MSG_TRUNC) !== 0) return "too-long";
  if ((flags & C.MSG_CTRUNC) !== 0) return "descriptors-lost";
  return sender === undefined ? "no-sender" : undefined;
}

/** Stands for a sender that the kernel did not name; such a packet is never trusted. */
const NOBODY: Credentials = { pid: 0, uid: 0xffffffff, gid: 0xffffffff };

let sending: MessageBuffer | undefined;
let receiving: MessageBuffer | undefined;

function outgoing(): MessageBuffer {
  return sending ??= new MessageBuffer(PACKET_LIMIT);
}

function incoming(): MessageBuffer {
  return receiving ??= new MessageBuffer(PACKET_LIMIT);
}

function openSocket(path: string): Fd {
  const number = reissued(() => libc().socket(C.AF_UNIX, TYPE, 0));
  const socket = new Fd(checked("socket", path, number), path);
  return guarded([socket], () => {
    passCredentials(socket);
    return socket;
  });
}

/** Makes the kernel put the sender's credentials into every packet, from both ends. */
function passCredentials(socket: Fd): void {
  checked("setsockopt(SO_PASSCRED)", socket.what, switchOn(socket, C.SO_PASSCRED));
}

function switchOn(socket: Fd, option: number): number {
  const one = new Int32Array([1]);
  return reissued(() =>
    libc().setsockopt(socket.number, C.SOL_SOCKET, option, one, one.byteLength)
  );
}

function bindReplacingStale(socket: Fd, path: string): void {
  const first = bindResult(socket, path);
  if (first !== -ERRNO.EADDRINUSE || !isStale(path)) {
    checked("bind", path, first);
    return;
  }
  const name = toCString(path);
  checked("unlink", path, reissued(() => libc().unlink(name)));
  checked("bind", path, bindResult(socket, path));
}

/** Whether a path is a socket that nobody listens on. */
function isStale(path: string): boolean {
  if (!isType(identifyPath(path), C.S_IFSOCK)) return false;
  const probe = openSocket(path);
  try {
    return connectResult(probe, path) === -ERRNO.ECONNREFUSED;
  } finally {
    closeDescriptor(probe);
  }
}

function bindResult(socket: Fd, path: string): number {
  const { address, length } = addressOf("bind", path);
  return reissued(() => libc().bind(socket.number, address, length));
}

function connectResult(socket: Fd, path: string): number {
  const { address, length } = addressOf("connect", path);
  return reissued(() => libc().connect(socket.number, address, length));
}

function addressOf(call: string, path: string) {
  const name = toCString(path);
  const length = ADDRESS.fields.sun_path.offset + name.length;
  if (length > ADDRESS.size) throw kernelError(call, -ERRNO.ENAMETOOLONG, path);
  const address = allocate(ADDRESS);
  setNumber(address, ADDRESS.fields.sun_family, C.AF_UNIX);
  new Uint8Array(address.buffer).set(name, ADDRESS.fields.sun_path.offset);
  return { address, length };
}

/** Closes what was opened when the next step fails. */
function guarded<T>(fds: readonly Fd[], step: () => T): T {
  try {
    return step();
  } catch (error) {
    fds.forEach(closeDescriptor);
    throw error;
  }
}
