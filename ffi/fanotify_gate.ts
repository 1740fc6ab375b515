/**
 * A gate before one file: fanotify(7) with permission events. Whoever opens the file waits in
 * `open(2)` until the gate's owner has answered; when the owner dies the kernel lets them pass. The
 * first gate taints the kernel (it says so in its log).
 *
 * Made for `BDF/reset`, which is write-only: the kernel opens the file once more for each event, and
 * where it could not, every open would fail. The process that owns a gate must never open the file
 * itself: it would wait for itself.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { GateEvent } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { closeDescriptor } from "./descriptors.ts";
import { checked, ERRNO, kernelError, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { decode, encode, type Values } from "./struct.ts";

const EVENT = STRUCTS.fanotify_event_metadata;
const RESPONSE = STRUCTS.fanotify_response;

/** Room for a hundred events at a time, bytes. Each costs a descriptor. */
const CHUNK = 100 * EVENT.size;

/**
 * Puts a gate before a file.
 *
 * @param path a file that can be opened for writing
 * @returns the gate: non-blocking, close-on-exec, readable when somebody waits; the caller owns it,
 * and its close lets everybody pass
 * @throws {KernelError} EPERM without CAP_SYS_ADMIN; EINVAL where the kernel was built without
 * permission events
 */
export function openGate(path: string): Fd {
  const what = `gate before ${path}`;
  const flags = C.FAN_CLASS_CONTENT | C.FAN_CLOEXEC | C.FAN_NONBLOCK;
  const number = reissued(() => libc().fanotify_init(flags, C.O_WRONLY | C.O_CLOEXEC));
  const gate = new Fd(checked("fanotify_init", path, number), what);
  try {
    const name = toCString(path);
    const mask = BigInt(C.FAN_OPEN_PERM | C.FAN_CLOSE_WRITE);
    const result = reissued(() =>
      libc().fanotify_mark(gate.number, C.FAN_MARK_ADD, mask, C.AT_FDCWD, name)
    );
    checked("fanotify_mark", path, result);
    return gate;
  } catch (error) {
    closeDescriptor(gate);
    throw error;
  }
}

/**
 * Takes what waits.
 *
 * @param gate from {@linkcode openGate}
 * @returns events in order; each `open` waits for {@linkcode answerGate}, and its descriptor belongs
 * to the caller until then. None: none waits
 * @throws {KernelError} EPROTO where the kernel speaks another version of the interface
 */
export function readGate(gate: Fd): readonly GateEvent[] {
  const chunk = new Uint8Array(new ArrayBuffer(CHUNK));
  const number = gate.number;
  const result = reissued(() => libc().read(number, chunk, BigInt(chunk.length)));
  if (result === -ERRNO.EAGAIN) return [];
  const length = checked("read", gate.what, result);
  const records = parseGateEvents(chunk.subarray(0, length));
  if (records === undefined) throw kernelError("read", -ERRNO.EPROTO, gate.what);
  return records.flatMap((record) => eventOf(gate, record));
}

type Metadata = Values<typeof EVENT.fields>;

/**
 * Reads what the kernel wrote.
 *
 * @param bytes `struct fanotify_event_metadata` one behind the other
 * @returns absent: another version, or lengths that make no sense
 */
export function parseGateEvents(bytes: Uint8Array<ArrayBuffer>): readonly Metadata[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: Metadata[] = [];
  for (let at = 0; at < view.byteLength;) {
    if (at + EVENT.size > view.byteLength) return undefined;
    const record = decode(EVENT, view, at);
    const fits = record.event_len >= EVENT.size && at + record.event_len <= view.byteLength;
    if (record.vers !== C.FANOTIFY_METADATA_VERSION || !fits) return undefined;
    records.push(record);
    at += record.event_len;
  }
  return records;
}

function eventOf(gate: Fd, { mask, fd, pid }: Metadata): GateEvent[] {
  const has = (bit: number) => (mask & BigInt(bit)) !== 0n;
  if (has(C.FAN_Q_OVERFLOW)) return ["overrun"];
  const file = fd < 0 ? undefined : new Fd(fd, `open held by ${gate.what}`);
  if (has(C.FAN_OPEN_PERM) && file !== undefined) return [{ kind: "open", pid, waiting: file }];
  if (file !== undefined) closeDescriptor(file);
  return has(C.FAN_CLOSE_WRITE) ? [{ kind: "closed", pid }] : [];
}

/**
 * Answers who waits, and closes the event's descriptor.
 *
 * @param gate from {@linkcode openGate}
 * @param waiting of an `open`
 * @param allow false: their open fails with EPERM
 * @throws {KernelError} ENOENT where it was answered already. Whoever was killed while they waited can
 * be answered too
 */
export function answerGate(gate: Fd, waiting: Fd, allow: boolean): void {
  const response = allow ? C.FAN_ALLOW : C.FAN_DENY;
  const answer = encode(RESPONSE, { fd: waiting.number, response });
  const number = gate.number;
  const result = reissued(() => libc().write(number, answer, BigInt(answer.byteLength)));
  closeDescriptor(waiting);
  checked("write", gate.what, result);
}
