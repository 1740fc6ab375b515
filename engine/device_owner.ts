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
    const wrong = await ownerDifferences(context, owner, pidfd);
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
 * @returns absent: Bargate may not look
 */
export function hasDeviceOpen(files: Files, pid: number, address: string): boolean | undefined {
  if (deviceDescriptor(files, pid, address) !== undefined) return true;
  try {
    files.list(`/proc/${pid}/fd`);
    return false;
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    return error.reason === "absent" ? false : undefined;
  }
}

function candidates(context: OwnerContext, { pidFile }: OwnerIdentity): number[] {
  if (pidFile !== undefined) return [pidIn(context, pidFile.value)];
  return context.files.list("/proc").filter((name) => /^[1-9][0-9]*$/.test(name)).map(Number)
    .filter((pid) => pid !== context.kernel.pid);
}

/** Whoever can write the pid file chooses the owner. */
function pidIn({ kernel, files }: OwnerContext, pidFile: string): number {
  const path = files.realPath(pidFile);
  const loose = loosePart(kernel, path);
  if (loose !== undefined) {
    throw new DeniedError(
      `Cannot trust ${pidFile} to name the owner: ${loose} is not root's or Bargate's alone to write`,
    );
  }
  const text = files.readText(path, 64).trim();
  if (!/^[1-9][0-9]{0,9}$/.test(text)) {
    throw new HostNotReadyError(
      `Cannot find the owner: ${pidFile} holds no process id (received ${JSON.stringify(text)})`,
    );
  }
  return Number(text);
}

function deviceDescriptor(files: Files, pid: number, address: string): number | undefined {
  const ofDevice = new RegExp(`^vfio-device-syspath:\\s*/sys/devices/\\S*/${address}$`, "m");
  for (const name of readable(() => files.list(`/proc/${pid}/fd`)) ?? []) {
    const target = readable(() => files.readLink(`/proc/${pid}/fd/${name}`)) ?? "";
    if (!isVfioDevice(target)) continue;
    const info = readable(() => files.readText(`/proc/${pid}/fdinfo/${name}`)) ?? "";
    if (ofDevice.test(info)) return Number(name);
  }
  return undefined;
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

/**
 * Compares a process with whom a policy names as the owner.
 *
 * @param context port and files
 * @param owner every field that is given must hold
 * @param pidfd the process
 * @returns of each field that does not hold, what was wanted and what was received
 * @throws {DeniedError} if others can write the pid file
 */
export async function ownerDifferences(
  context: OwnerContext,
  { unit, user, executable, pidFile }: OwnerIdentity,
  pidfd: Fd,
): Promise<readonly string[]> {
  const found = await context.kernel.identifyProcess(pidfd);
  if (found === undefined) return ["nothing is known, for it has ended"];
  const wrong = identityDifferences({ ...context, allowSameUser: true }, {
    ...(unit === undefined ? {} : { unit }),
    ...(user === undefined ? {} : { user }),
    ...(executable === undefined ? {} : { executable }),
  }, found);
  const wanted = pidFile === undefined ? found.pid : pidIn(context, pidFile.value);
  if (wanted === found.pid) return wrong;
  return [
    ...wrong,
    `process id must be ${wanted}, as ${pidFile?.value} says (received ${found.pid})`,
  ];
}
