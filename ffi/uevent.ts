/**
 * Kobject uevents: what the kernel tells of devices that come, go, and change their drivers
 * (netlink, `NETLINK_KOBJECT_UEVENT`). Anybody may receive them.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Uevent } from "../engine/kernel.ts";
import { closeDescriptor } from "./descriptors.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { allocate, decode, encode } from "./struct.ts";

const ADDRESS = STRUCTS.sockaddr_nl;

/** What the kernel sends to; udev's own messages go to group 2. */
const KERNEL_GROUP = 1;

/** Pid of the kernel in netlink addresses. */
const KERNEL = 0;

/** The kernel keeps to 2 KiB (`UEVENT_BUFFER_SIZE`) and 64 lines. */
const MESSAGE_LIMIT = 16 * 1024;

/** Room for a burst: thousands of messages, as a server with many functions sends at once. */
const QUEUE_BYTES = 4 * 1024 * 1024;

/**
 * Begins to receive uevents.
 *
 * @returns a non-blocking socket, close-on-exec; the caller owns it
 * @throws {KernelError}
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { openUevents, receiveUevent } from "./uevent.ts";
 *
 * const socket = openUevents();
 * receiveUevent(socket); // "empty", or what just happens
 * closeDescriptor(socket);
 * ```
 */
export function openUevents(): Fd {
  const type = C.SOCK_DGRAM | C.SOCK_CLOEXEC | C.SOCK_NONBLOCK;
  const number = reissued(() => libc().socket(C.AF_NETLINK, type, C.NETLINK_KOBJECT_UEVENT));
  const socket = new Fd(checked("socket(AF_NETLINK)", WHAT, number), WHAT);
  try {
    enlargeQueue(socket);
    const address = encode(ADDRESS, { nl_family: C.AF_NETLINK, nl_groups: KERNEL_GROUP });
    checked("bind", WHAT, reissued(() => libc().bind(socket.number, address, ADDRESS.size)));
    return socket;
  } catch (error) {
    closeDescriptor(socket);
    throw error;
  }
}

const WHAT = "kobject uevents";

/** Without CAP_NET_ADMIN the queue stays as it is: an overrun is reported, not hidden. */
function enlargeQueue(socket: Fd): void {
  const size = new Int32Array([QUEUE_BYTES]);
  const result = reissued(() =>
    libc().setsockopt(socket.number, C.SOL_SOCKET, C.SO_RCVBUFFORCE, size, size.byteLength)
  );
  if (result !== -ERRNO.EPERM) checked("setsockopt(SO_RCVBUFFORCE)", WHAT, result);
}

/**
 * Takes one uevent. What did not come from the kernel is passed over.
 *
 * @param socket from {@linkcode openUevents}
 * @returns the event; `empty`: none waits; `overrun`: some were lost, or one could not be read
 * @throws {KernelError}
 */
export function receiveUevent(socket: Fd): Uevent | "empty" | "overrun" {
  const bytes = new Uint8Array(new ArrayBuffer(MESSAGE_LIMIT));
  while (true) {
    const from = allocate(ADDRESS);
    const result = receiveInto(socket, bytes, from);
    if (result === -ERRNO.EAGAIN) return "empty";
    if (result === -ERRNO.ENOBUFS) return "overrun";
    const length = checked("recvfrom", socket.what, result);
    const { nl_pid, nl_groups } = decode(ADDRESS, from);
    if (nl_pid !== KERNEL || nl_groups !== KERNEL_GROUP) continue;
    if (length > bytes.length) return "overrun";
    return parseUevent(bytes.subarray(0, length)) ?? "overrun";
  }
}

function receiveInto(
  socket: Fd,
  bytes: Uint8Array<ArrayBuffer>,
  from: DataView<ArrayBuffer>,
): number {
  const size = new Uint32Array([from.byteLength]);
  const { recvfrom } = libc();
  const number = socket.number;
  const room = BigInt(bytes.length);
  return reissued(() => recvfrom(number, bytes, room, C.MSG_DONTWAIT | C.MSG_TRUNC, from, size));
}

/**
 * Reads a message: `ACTION@DEVPATH`, then `KEY=VALUE`, each with a NUL behind it.
 *
 * @param bytes the message
 * @returns absent: it is none. Values are text that devices and drivers chose
 *
 * @example
 * ```ts
 * import { parseUevent } from "./uevent.ts";
 *
 * const text = "unbind@/devices/pci0000:00/0000:00:14.0\0SUBSYSTEM=pci\0SEQNUM=7\0";
 * const event = parseUevent(new TextEncoder().encode(text));
 * if (event?.values.get("SUBSYSTEM") !== "pci") throw new Error("a device of PCI");
 * ```
 */
export function parseUevent(bytes: Uint8Array): Uevent | undefined {
  const [head = "", ...lines] = new TextDecoder().decode(bytes).split("\0");
  const [, action, path] = /^([a-z]+)@(\/.*)$/s.exec(head) ?? [];
  if (action === undefined || path === undefined) return undefined;
  return { action, path, values: new Map(lines.flatMap(pair)) };
}

function pair(line: string): [string, string][] {
  const at = line.indexOf("=");
  return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
}
