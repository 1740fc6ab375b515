/**
 * A receiver of dma-bufs, with nothing but Deno and libc: takes what it is granted, and lets go when it
 * is told to.
 *
 *     deno run --allow-ffi receiver.ts /run/receiver/bargate.sock     for bargate export --send
 *     bargate export POLICY --exec -- deno run -A receiver.ts         started by Bargate
 *
 * The protocol is docs/protocol.md: SOCK_SEQPACKET, one JSON object a packet, descriptors beside it
 * (SCM_RIGHTS). Linux on x86_64 or aarch64.
 */

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  umask: { parameters: ["u32"], result: "u32" },
});

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;
const SEEK_END = 2;
const FIRST_LISTEN_FD = 3;
const PACKET_BYTES = 64 * 1024;
const CONTROL_BYTES = 512;

/** A packet of Bargate's; which fields there are depends on `type`. */
interface Packet {
  readonly type: string;
  readonly grant?: string;
  readonly export?: string;
  readonly size?: string;
  readonly fdName?: string;
  readonly reason?: string;
  readonly after?: string;
  readonly message?: string;
  readonly simulated?: boolean;
}

/** What we have been granted. */
interface Grant {
  readonly export: string;
  readonly fd: number;
}

function done(what: string, result: number): number {
  if (result < 0) throw new Error(`Cannot go on: ${what} failed`);
  return result;
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** Bargate connects to us, and takes us for who called listen(): this very process must. */
function waitForBargate(path: string): number {
  const listener = done("socket", libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const address = new Uint8Array(2 + 108);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(cString(path), 2);
  libc.unlink(cString(path));
  // Nobody but root and we ourselves may connect.
  libc.umask(0o177);
  done(`bind to ${path}`, libc.bind(listener, address, address.length));
  done("listen", libc.listen(listener, 1));
  console.log("listening");
  const channel = done("accept", libc.accept4(listener, null, null, SOCK_CLOEXEC));
  libc.close(listener);
  return channel;
}

/** Descriptors that we were started with, by name (sd_listen_fds(3)). */
function startedWith(): Map<string, number> {
  if (Deno.env.get("LISTEN_PID") !== String(Deno.pid)) return new Map();
  const names = (Deno.env.get("LISTEN_FDNAMES") ?? "").split(":");
  return new Map(names.map((name, index) => [name, FIRST_LISTEN_FD + index]));
}

/** Waits for a packet, and the descriptors that come with it; absent: Bargate has gone. */
function hear(channel: number): { packet: Packet; fds: number[] } | undefined {
  const waiting = new DataView(new ArrayBuffer(8));
  waiting.setInt32(0, channel, true);
  waiting.setInt16(4, POLLIN, true);
  libc.poll(waiting, 1n, -1);

  const bytes = new Uint8Array(PACKET_BYTES);
  const control = new DataView(new ArrayBuffer(CONTROL_BYTES));
  const part = new BigUint64Array([addressOf(bytes), BigInt(bytes.length)]);
  // struct msghdr: name, its length, iov, how many, control, its length, flags
  const message = new DataView(new ArrayBuffer(56));
  message.setBigUint64(16, addressOf(part), true);
  message.setBigUint64(24, 1n, true);
  message.setBigUint64(32, addressOf(control), true);
  message.setBigUint64(40, BigInt(control.byteLength), true);
  // Close-on-exec: what we are granted is not for programs that we start.
  const length = libc.recvmsg(channel, message, MSG_CMSG_CLOEXEC);
  if (length <= 0) return undefined;
  const packet = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)));
  return { packet, fds: descriptors(control, Number(message.getBigUint64(40, true))) };
}

function addressOf(buffer: ArrayBufferView<ArrayBuffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)));
}

/** struct cmsghdr: length, level, type; then the data. */
function descriptors(control: DataView, end: number): number[] {
  const fds: number[] = [];
  for (let at = 0; at + 16 <= end;) {
    const length = Number(control.getBigUint64(at, true));
    const level = control.getInt32(at + 8, true);
    const rights = level === SOL_SOCKET && control.getInt32(at + 12, true) === SCM_RIGHTS;
    for (let fd = at + 16; rights && fd + 4 <= at + length; fd += 4) {
      fds.push(control.getInt32(fd, true));
    }
    at += Math.max(16, Math.ceil(length / 8) * 8);
  }
  return fds;
}

function say(channel: number, packet: Record<string, unknown>): void {
  const bytes = new TextEncoder().encode(JSON.stringify(packet));
  // That Bargate has gone shows when we read.
  libc.send(channel, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
}

const grants = new Map<string, Grant>();

function take(packet: Packet, fd: number): void {
  const name = packet.export ?? "";
  grants.set(packet.grant ?? "", { export: name, fd });
  // Here a program imports the buffer: IOMMU_IOAS_MAP_FILE, ibv_reg_dmabuf_mr, …
  const size = libc.lseek(fd, 0n, SEEK_END);
  console.log(`granted ${name} ${packet.size}, ${size} bytes here`);
  if (packet.simulated === true) console.log(`read: ${firstLine(fd)}`);
}

/** Of a device's buffer the processor cannot read anything; a simulated one is a file in memory. */
function firstLine(fd: number): string {
  const bytes = new Uint8Array(80);
  const length = libc.pread(fd, bytes, BigInt(bytes.length), 0n);
  if (length <= 0) return "nothing";
  return new TextDecoder().decode(bytes.subarray(0, length)).split("\n")[0] ?? "";
}

function letGo(id: string, simulated: boolean): void {
  const grant = grants.get(id);
  if (grant === undefined) return;
  if (simulated) console.log(`read: ${firstLine(grant.fd)}`);
  grants.delete(id);
  // A program that has mapped the buffer unmaps it here, before it closes it.
  libc.close(grant.fd);
  console.log(`let go of ${grant.export}`);
}

function obey(channel: number, packet: Packet, fds: number[], named: Map<string, number>): void {
  const id = packet.grant ?? "";
  if (packet.type === "granted") {
    const fd = named.get(packet.fdName ?? "") ?? fds.shift();
    if (fd !== undefined) take(packet, fd);
  } else {
    // suspended: DMA faults until restored, and then old mappings may be dead (`after`).
    console.log(packet.type, packet.reason ?? packet.after ?? packet.message ?? "");
  }
  for (const fd of fds) libc.close(fd); // Nothing that this program knows of.
  if (packet.type === "revoking") {
    // We have its grace to let go; whoever says so early is not waited for.
    letGo(id, false);
    say(channel, { type: "release", grant: id });
  } else if (packet.type === "revoked") {
    // It is over: the descriptor cannot be imported any more, by anybody.
    letGo(id, packet.simulated === true);
  }
}

const named = startedWith();
const [path] = Deno.args;
const channel = named.get("bargate") ?? (path === undefined ? undefined : waitForBargate(path));
if (channel === undefined) {
  console.error("usage: receiver.ts SOCKET, or start it by bargate export --exec");
  Deno.exit(2);
}
// To a process that was there before, Bargate gives nothing until it has said hello.
if (named.size === 0) say(channel, { type: "hello", v: 1 });
for (let heard = hear(channel); heard !== undefined; heard = hear(channel)) {
  obey(channel, heard.packet, heard.fds, named);
  // Bargate waits for the program that it started; nothing is left to do when all is over.
  if (named.size > 0 && heard.packet.type === "revoked" && grants.size === 0) break;
}
// Bargate has gone, and with it everything that it granted; or nothing is granted any more.
for (const id of [...grants.keys()]) letGo(id, false);
console.log("end");
if (path !== undefined) libc.unlink(cString(path));
