/**
 * Asking an NVMe controller where its memory is: the registers that say it are read on the open
 * device. Opening tries a reset of the function; nothing else is done to it, unless a policy allows
 * that its memory buffer is enabled.
 *
 * @module
 */
import type { ControllerMemory, PersistentMemory, SnapshotFunction } from "../host/snapshot.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { HostNotReadyError, IdentityDriftError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { GroupAccess, type RouteTarget } from "./group_access.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { NvmeRegisters } from "./nvme_registers.ts";
import { explained } from "./refusal.ts";
import { SharedIommufd } from "./shared_iommufd.ts";
import type { VfTokenSource } from "./vf_token.ts";

/** What a controller has answered. */
export interface ControllerAnswer {
  readonly controllerMemory: ControllerMemory;
  /** Absent: its registers make no sense. */
  readonly persistentMemory?: PersistentMemory;
}

/** How a controller is asked. */
export interface ProbeOptions {
  /**
   * A policy lets Bargate enable its buffer: if it is not enabled, CMBMSC.CRE is written to have its
   * place told, and put back.
   */
  readonly mayEnable?: boolean;
  /** What virtual functions are opened with. */
  readonly vfTokenFor?: VfTokenSource;
}

/**
 * Asks one controller.
 *
 * @param kernel the port; this process is made non-dumpable, for it will hold the device's descriptor
 * @param entry a function for which `canBeProbed` is true
 * @param options how
 * @throws {HostNotReadyError} if it cannot be opened, or its registers make no sense
 * @throws {IdentityDriftError} if its node is another function's
 * @throws {RefusedError} if the kernel refuses an access to its registers, or a close
 */
export async function probeController(
  kernel: Kernel,
  entry: SnapshotFunction,
  options: ProbeOptions = {},
): Promise<ControllerAnswer> {
  const target = targetOf(entry);
  // Each step says what it could not do; what is left are those that give back what was taken.
  return await explained(
    `ask ${entry.address} for its memory`,
    () => openAndAsk(kernel, target, options),
  );
}

async function openAndAsk(
  kernel: Kernel,
  target: RouteTarget,
  { mayEnable = false, vfTokenFor }: ProbeOptions,
): Promise<ControllerAnswer> {
  kernel.makeNonDumpable();
  const shared = new SharedIommufd(kernel);
  const lane = kernel.openLane(target.address);
  try {
    const access = new GroupAccess(kernel, shared, vfTokenFor);
    const device = await access.openDevice(lane, target);
    try {
      await checkAddress(lane, device, target);
      return await ask(new NvmeRegisters(lane, device, target.address), mayEnable);
    } finally {
      try {
        await closeOnLane(kernel, lane, device);
      } finally {
        access.deviceClosed();
      }
    }
  } finally {
    shared.close();
    await lane.end();
  }
}

function targetOf({ address, physfn, cdev, groupNode }: SnapshotFunction): RouteTarget {
  const node = cdev ?? groupNode;
  if (node === undefined) {
    throw new HostNotReadyError(`Cannot open ${address}: it has no VFIO node to open it by`);
  }
  const route = cdev === undefined ? "group" : "cdev";
  return { address, node, route, ...(physfn === undefined ? {} : { physfn }) };
}

async function checkAddress(
  lane: Lane,
  device: Fd,
  { address, node }: RouteTarget,
): Promise<void> {
  const told = await explained(`ask which device ${node} is`, () => lane.deviceAddress(device));
  if (told === address) return;
  const other = told ?? "one of which the kernel tells nothing";
  throw new IdentityDriftError(`Cannot take ${node} for ${address}: it is the node of ${other}`);
}

async function ask(registers: NvmeRegisters, mayEnable: boolean): Promise<ControllerAnswer> {
  const found = await registers.memory();
  const persistentMemory = await registers.persistent();
  const controllerMemory = mayEnable && found.state === "disabled"
    ? await registers.shown()
    : found;
  return { controllerMemory, ...(persistentMemory === undefined ? {} : { persistentMemory }) };
}
