/**
 * A kprobe on the kernel's revoke routine, through tracefs: every revoke and un-revoke, with its
 * device and its cause. Nothing else in Linux 7.3 tells of them. The routine's name is no interface:
 * where it is not there, there is no trace.
 *
 * Each trace has a tracing instance and a probe of its own, by names that no other process uses, so
 * that two do not meet. What a killed process left behind is removed by the next who opens one: an
 * instance that nobody reads can be removed, one that is read cannot.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { RevokeRecord, RevokeTrace } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { PCI_ADDRESS_PATTERN } from "../host/address.ts";
import { toCString } from "./c_string.ts";
import { closeDescriptor, openPath } from "./descriptors.ts";
import { checked, ERRNO, reissued } from "./errno.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";
import { listDirectory } from "./list_directory.ts";

/** Where tracefs is; below debugfs on kernels that mount it nowhere else. */
const TRACEFS = "/sys/kernel/tracing";

/** `void vfio_pci_dma_buf_move(struct vfio_pci_core_device *vdev, bool revoked)`. */
const ROUTINE = "vfio_pci_dma_buf_move";

/**
 * The name of the device is the string that the first member of the first member of the first member
 * points at: `vdev->vdev.dev->kobj.name`. Where a kernel lays them out otherwise there is no address
 * in the record. The task's name comes last, for it is text of its own choice; the one in front of the
 * line is looked up when the line is read, and is `<...>` where the kernel has not kept it.
 */
const ARGUMENTS = "device=+0(+0(+0($arg1))):string revoked=$arg2:u8 task=$comm";

const PREFIX = "bargate_";
const QUOTED_ADDRESS = new RegExp(`^"(${PCI_ADDRESS_PATTERN})"$`);

/** KiB for each CPU: some hundred records. */
const BUFFER_KIB = 32;

const CHUNK = 16 * 1024;

/**
 * Opens a trace.
 *
 * @param onClose is told of the descriptor before it is closed
 * @throws {KernelError} ENOENT without tracefs or the routine; EACCES, EPERM without the right to
 * trace
 */
export function openRevokeTrace(onClose: (fd: Fd) => void = () => undefined): RevokeTrace {
  removeLeftTraces();
  const name = `${Deno.pid}_${crypto.randomUUID().slice(0, 8)}`;
  const places = placesOf(name);
  make(places.instance);
  const undo: (() => void)[] = [() => remove(places.instance)];
  try {
    // At once: from here on nobody takes the instance for left behind.
    const fd = openPath(`${places.instance}/trace_pipe`, C.O_RDONLY | C.O_NONBLOCK);
    undo.push(() => closeDescriptor(fd));
    append(`${places.instance}/buffer_size_kb`, `${BUFFER_KIB}`);
    append(PROBES, `p:${places.probe} ${ROUTINE} ${ARGUMENTS}`);
    undo.push(() => append(PROBES, `-:${places.probe}`));
    append(places.enable, "1");
    undo.push(() => append(places.enable, "0"));
    return new Trace(fd, places, onClose);
  } catch (error) {
    undo.reverse().forEach((step) => step());
    throw error;
  }
}

interface Places {
  readonly instance: string;
  /** `group/event`, as kprobe_events names it. */
  readonly probe: string;
  readonly enable: string;
  readonly event: string;
}

const INSTANCES = `${TRACEFS}/instances`;
const PROBES = `${TRACEFS}/kprobe_events`;

function placesOf(name: string): Places {
  const instance = `${INSTANCES}/${PREFIX}${name}`;
  const event = `revoke_${name}`;
  const probe = `bargate/${event}`;
  return { instance, probe, event, enable: `${instance}/events/${probe}/enable` };
}

class Trace implements RevokeTrace {
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(
    readonly fd: Fd,
    private readonly places: Places,
    private readonly onClose: (fd: Fd) => void,
  ) {}

  read(): readonly RevokeRecord[] {
    const chunk = new Uint8Array(new ArrayBuffer(CHUNK));
    const number = this.fd.number;
    const result = reissued(() => libc().read(number, chunk, BigInt(chunk.length)));
    if (result === -ERRNO.EAGAIN) return [];
    const length = checked("read", this.fd.what, result);
    const text = this.#rest + this.#decoder.decode(chunk.subarray(0, length), { stream: true });
    const lines = text.split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => parseTraceLine(line, this.places.event) ?? []);
  }

  close(): void {
    this.onClose(this.fd);
    append(this.places.enable, "0");
    closeDescriptor(this.fd);
    remove(this.places.instance);
    append(PROBES, `-:${this.places.probe}`);
  }
}

/**
 * Reads a line of `trace_pipe`. The task's name in front is text of its own choice: the last place
 * where the rest fits counts, and a name is too short (15 characters) to hold such a rest. One with a
 * line feed in it breaks the line, before the rest or behind it.
 *
 * @param line without its end
 * @param event name of the probe
 * @returns absent: it is another line
 *
 * @example
 * ```ts
 * import { parseTraceLine } from "./revoke_trace.ts";
 *
 * const line = "  spdk_tgt-42  [001] ..... 7.5: r: (vfio_pci_dma_buf_move+0x0/0x1f0) " +
 *   'device="0000:01:00.0" revoked=1 task="spdk_tgt"';
 * const record = parseTraceLine(line, "r");
 * if (record === undefined || record === "overrun" || record.pid !== 42) throw new Error("its pid");
 * ```
 */
export function parseTraceLine(line: string, event: string): RevokeRecord | undefined {
  if (/^CPU:\d+ \[LOST \d+ EVENTS\]$/.test(line)) return "overrun";
  const pattern = new RegExp(
    String.raw`^.*-(\d+)\s+\[\d+\]\s+(?:\S+\s+)?[\d.]+: ${event}: ` +
      String
        .raw`\(${ROUTINE}\+0x[0-9a-f]+\/0x[0-9a-f]+\) device=(.*?) revoked=([01]) task="(.*?)"?$`,
    "s",
  );
  const [, pid, device, revoked, task] = pattern.exec(line) ?? [];
  if (task === undefined || device === undefined) return undefined;
  const address = QUOTED_ADDRESS.exec(device)?.[1];
  return {
    ...(address !== undefined && { device: address }),
    revoked: revoked === "1",
    pid: Number(pid),
    task,
  };
}

/** Removes what killed processes left behind. */
function removeLeftTraces(): void {
  for (const folder of listDirectory(INSTANCES).names) {
    if (!folder.startsWith(PREFIX)) continue;
    const { instance, probe } = placesOf(folder.slice(PREFIX.length));
    if (tolerating([ERRNO.EBUSY, ERRNO.ENOENT], () => remove(instance))) {
      tolerating([ERRNO.EBUSY, ERRNO.ENOENT], () => append(PROBES, `-:${probe}`));
    }
  }
}

/** @returns whether the step was done */
function tolerating(errnos: readonly number[], step: () => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    if (error instanceof KernelError && errnos.includes(error.errno)) return false;
    throw error;
  }
}

function make(folder: string): void {
  const name = toCString(folder);
  checked("mkdir", folder, reissued(() => libc().mkdir(name, 0o700)));
}

function remove(folder: string): void {
  const name = toCString(folder);
  checked("rmdir", folder, reissued(() => libc().rmdir(name)));
}

/** Writes a line to a control file; what was there before stays. */
function append(path: string, text: string): void {
  const fd = openPath(path, C.O_WRONLY | C.O_APPEND);
  try {
    const bytes = new TextEncoder().encode(`${text}\n`);
    checked("write", path, reissued(() => libc().write(fd.number, bytes, BigInt(bytes.length))));
  } finally {
    closeDescriptor(fd);
  }
}
