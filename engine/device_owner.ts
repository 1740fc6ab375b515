/**
 * Whose device it is: the process that has it open, where a policy says `acquire: borrow`.
 *
 * What procfs tells is of other processes' making, and can change while it is read; a process is held
 * by a pidfd before anything about it counts.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import type { OwnerIdentity } from "../policy/model.ts";
import { DeniedError, HostNotReadyError } from "./errors.ts";
import { loosePart } from "./executable_file.ts";
import type { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { identityDifferences } from "./peer_identity.ts";
import { deviceDescriptor } from "./process_descriptors.ts";
import { Slices } from "./slices.ts";

/** To tell who a process is takes as long as so many descriptors. */
const PROCESS_STEPS = 16;
/** Of a process that is not the owner so many descriptors are looked at. */
const MOST_OF_ANOTHER = 1024;

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
  const others: Other[] = [];
  const slices = new Slices();
  for (const pid of candidates(context, owner)) {
    await slices.next(PROCESS_STEPS);
    const found = await ownerIn(context, address, owner, pid, slices);
    if (found === undefined) continue;
    if ("pidfd" in found) return found;
    others.push(found);
  }
  const strangers = await withDeviceOpen(context.files, others, address, slices);
  if (strangers.length > 0) {
    throw new DeniedError(
      `Cannot borrow ${address}: it is open, but not by its owner: ${strangers.join("; ")}`,
    );
  }
  throw new HostNotReadyError(
    `Cannot borrow ${address}: no process that can be its owner has it open; start the owner first, and run Bargate as root`,
  );
}

/** A process that is not the owner. */
interface Other {
  readonly pid: number;
  readonly wrong: string;
}

/**
 * Who it is comes first: anybody can have more descriptors than can be looked at.
 *
 * @returns absent: it has gone, or it is the owner and does not have the device open
 */
async function ownerIn(
  context: OwnerContext,
  address: string,
  owner: OwnerIdentity,
  pid: number,
  slices: Slices,
): Promise<DeviceOwner | Other | undefined> {
  const { kernel, files } = context;
  const pidfd = hold(kernel, pid);
  if (pidfd === undefined) return undefined;
  let descriptor: number | undefined;
  try {
    const wrong = await differencesOfAny(context, owner, pidfd);
    if (wrong.length > 0) return { pid, wrong: wrong.join(", and ") };
    descriptor = await deviceDescriptor(files, pid, address, slices);
    return descriptor === undefined ? undefined : { pid, pidfd, descriptor };
  } finally {
    if (descriptor === undefined) kernel.close(pidfd);
  }
}

/** Processes that Bargate may not look at are not the owner. */
async function differencesOfAny(
  context: OwnerContext,
  owner: OwnerIdentity,
  pidfd: Fd,
): Promise<readonly string[]> {
  try {
    return await ownerDifferences(context, owner, pidfd);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return [`nothing can be told (${error.errnoName})`];
  }
}

/** For the message alone, when the owner is not found: of those that have the device open. */
async function withDeviceOpen(
  files: Files,
  others: readonly Other[],
  address: string,
  slices: Slices,
): Promise<readonly string[]> {
  const strangers: string[] = [];
  for (const { pid, wrong } of others) {
    const descriptor = await deviceDescriptor(files, pid, address, slices, MOST_OF_ANOTHER);
    if (descriptor !== undefined) strangers.push(`of process ${pid} ${wrong}`);
  }
  return strangers;
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
