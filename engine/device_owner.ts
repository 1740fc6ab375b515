/**
 * Whose device it is: the process that has it open, where a policy says `acquire: borrow`.
 *
 * What procfs tells is of other processes' making, and can change while it is read; a process is held
 * by a pidfd before anything about it counts.
 *
 * @module
 */
import { type Files, FilesError } from "../host/files.ts";
import type { OwnerIdentity } from "../policy/model.ts";
import { DeniedError, HostNotReadyError } from "./errors.ts";
import { loosePart } from "./executable_file.ts";
import type { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { identityDifferences } from "./peer_identity.ts";

/** A process with the device open. */
export interface DeviceOwner {
  readonly pid: number;
  /** The caller owns it. */
  readonly pidfd: Fd;
  /** Its descriptor of the device. */
  readonly descriptor: number;
}

/** What is around the search. */
export interface OwnerContext {
  readonly kernel: Kernel;
  readonly files: Files;
}

/**
 * Finds the process that has a device open, and makes sure that it is the one that the policy names.
 *
 * @param context port and files
 * @param address of the device
 * @param owner who it must be; every field given must hold
 * @returns the owner
 * @throws {DeniedError} if the device is open, but by somebody else
 * @throws {HostNotReadyError} if nobody has it open, or Bargate may not look
 */
export async function findOwner(
  context: OwnerContext,
  address: string,
  owner: OwnerIdentity,
): Promise<DeviceOwner> {
  const strangers: string[] = [];
  for (const pid of candidates(context, owner)) {
    const descriptor = deviceDescriptor(context.files, pid, address);
    if (descriptor === undefined) continue;
    const pidfd = hold(context.kernel, pid);
    if (pidfd === undefined) continue;
    const wrong = await differences(context, owner, pidfd);
    if (wrong.length === 0) return { pid, pidfd, descriptor };
    context.kernel.close(pidfd);
    strangers.push(`of process ${pid} ${wrong.join(", and ")}`);
  }
  if (strangers.length > 0) {
    throw new DeniedError(
      `Cannot borrow ${address}: it is open, but not by its owner: ${strangers.join("; ")}`,
    );
  }
  throw new HostNotReadyError(
    `Cannot borrow ${address}: no process that can be its owner has it open; start the owner first, and run Bargate as root`,
  );
}

/**
 * Whether a process has a device open still.
 *
 * @param files for procfs
 * @param pid of a process that is held by a pidfd
 * @param address of the device
 */
export function hasDeviceOpen(files: Files, pid: number, address: string): boolean {
  return deviceDescriptor(files, pid, address) !== undefined;
}

/** Whoever can write the pid file chooses the owner. */
function candidates({ kernel, files }: OwnerContext, { pidFile }: OwnerIdentity): number[] {
  if (pidFile === undefined) {
    return files.list("/proc").filter((name) => /^[1-9][0-9]*$/.test(name)).map(Number)
      .filter((pid) => pid !== kernel.pid);
  }
  const path = files.realPath(pidFile.value);
  const loose = loosePart(kernel, path);
  if (loose !== undefined) {
    throw new DeniedError(
      `Cannot trust ${pidFile.value} to name the owner: ${loose} is not root's or Bargate's alone to write`,
    );
  }
  const text = files.readText(path, 64).trim();
  if (!/^[1-9][0-9]{0,9}$/.test(text)) {
    throw new HostNotReadyError(
      `Cannot find the owner: ${pidFile.value} holds no process id (received ${
        JSON.stringify(text)
      })`,
    );
  }
  return [Number(text)];
}

function deviceDescriptor(files: Files, pid: number, address: string): number | undefined {
  const ofDevice = new RegExp(`^vfio-device-syspath:\\s*/sys/devices/\\S*/${address}$`, "m");
  for (const name of readable(() => files.list(`/proc/${pid}/fd`)) ?? []) {
    const target = readable(() => files.readLink(`/proc/${pid}/fd/${name}`)) ?? "";
    const vfio = target.startsWith("/dev/vfio/devices/") || target === "anon_inode:[vfio-device]";
    if (!vfio) continue;
    const info = readable(() => files.readText(`/proc/${pid}/fdinfo/${name}`)) ?? "";
    if (ofDevice.test(info)) return Number(name);
  }
  return undefined;
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

function hold(kernel: Kernel, pid: number): Fd | undefined {
  try {
    return kernel.openProcess(pid);
  } catch (error) {
    if (error instanceof KernelError && error.errnoName === "ESRCH") return undefined;
    throw error;
  }
}

async function differences(
  context: OwnerContext,
  { unit, user, executable }: OwnerIdentity,
  pidfd: Fd,
): Promise<readonly string[]> {
  const found = await context.kernel.identifyProcess(pidfd);
  if (found === undefined) return ["nothing is known, for it has ended"];
  return identityDifferences({ ...context, allowSameUser: true }, {
    ...(unit === undefined ? {} : { unit }),
    ...(user === undefined ? {} : { user }),
    ...(executable === undefined ? {} : { executable }),
  }, found);
}
