/**
 * By which descriptor a process has a device open. A process can have a million of them, and whoever
 * it is chooses that: they are looked at in slices.
 *
 * @module
 */
import { type Files, FilesError } from "../host/files.ts";
import { Slices } from "./slices.ts";

/** A table of at most so many descriptors is listed at once. */
const LISTED = 512;

/**
 * Finds a process's descriptor of a device.
 *
 * @param files for procfs
 * @param pid of a process that is held by a pidfd
 * @param address of the device
 * @param slices of the search
 * @param limit how many descriptors are looked at, at most
 * @returns its number; absent: it has none, or Bargate may not look
 */
export async function deviceDescriptor(
  files: Files,
  pid: number,
  address: string,
  slices: Slices,
  limit = Infinity,
): Promise<number | undefined> {
  let looked = 0;
  for (const number of numbersOf(files, pid)) {
    if (++looked > limit) return undefined;
    await slices.next();
    if (isOf(files, pid, number, address)) return number;
  }
  return undefined;
}

/** Whether a process has a device open still. */
export class OpenDevice {
  /**
   * @param files for procfs
   * @param pid of a process that is held by a pidfd
   * @param address of the device
   * @param last number by which it had it open before; is looked at first
   */
  constructor(
    private readonly files: Files,
    private readonly pid: number,
    private readonly address: string,
    private last?: number,
  ) {}

  /** @returns absent: Bargate may not look */
  async isOpen(): Promise<boolean | undefined> {
    const { files, pid, address, last } = this;
    if (last !== undefined && isOf(files, pid, last, address)) return true;
    this.last = await deviceDescriptor(files, pid, address, new Slices());
    return this.last === undefined ? mayLook(files, pid) ? false : undefined : true;
  }
}

/**
 * Whether the link of a descriptor is one of a VFIO device. Other files can have such a link too, but
 * no fdinfo with a device's address.
 *
 * @param target of the link in `/proc/PID/fd`
 */
export function isVfioDevice(target: string): boolean {
  return target.startsWith("/dev/vfio/devices/") || target === "anon_inode:[vfio-device]";
}

function isOf(files: Files, pid: number, number: number, address: string): boolean {
  const target = readable(() => files.readLink(`/proc/${pid}/fd/${number}`)) ?? "";
  if (!isVfioDevice(target)) return false;
  const info = readable(() => files.readText(`/proc/${pid}/fdinfo/${number}`)) ?? "";
  return new RegExp(`^vfio-device-syspath:\\s*/sys/devices/\\S*/${address}$`, "m").test(info);
}

/** Numbers that can be in use. The list of a large table would take a second in one go. */
function numbersOf(files: Files, pid: number): Iterable<number> {
  const status = readable(() => files.readText(`/proc/${pid}/status`)) ?? "";
  const size = Number(/^FDSize:\s*([0-9]+)$/m.exec(status)?.[1] ?? 0);
  if (size > LISTED) return upTo(size);
  return (readable(() => files.list(`/proc/${pid}/fd`)) ?? []).map(Number);
}

function* upTo(size: number): Generator<number> {
  for (let number = 0; number < size; number++) yield number;
}

/** A descriptor that is not there tells as much. */
function mayLook(files: Files, pid: number): boolean {
  try {
    files.readLink(`/proc/${pid}/fd/0`);
    return true;
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    return error.reason === "absent";
  }
}

/** Processes come and go, and some are not ours to look at: those are not the owner. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    return undefined;
  }
}
