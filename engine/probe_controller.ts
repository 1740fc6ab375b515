/**
 * Asking an NVMe controller where its memory buffer is: the registers that say it are read on the
 * open device. Opening tries a reset of the function; nothing else is done to it.
 *
 * @module
 */
import { CMB_REGISTERS, controllerMemoryOf } from "../host/nvme_cmb.ts";
import type { ControllerMemory, SnapshotFunction } from "../host/snapshot.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { HostNotReadyError, IdentityDriftError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { GroupAccess, type RouteTarget } from "./group_access.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { explained } from "./refusal.ts";
import { SharedIommufd } from "./shared_iommufd.ts";

/** Class of NVM Express controllers: base class and subclass. */
const NVME = "0108";
/** BAR of the controller's registers. */
const REGISTERS_BAR = 0;

/**
 * Whether a function can be asked: an NVMe controller that is bound to vfio-pci.
 *
 * @param entry of a snapshot
 */
export function canBeProbed({ class: code, driver, cdev, groupNode }: SnapshotFunction): boolean {
  return code.startsWith(NVME) && driver === "vfio-pci" && (cdev ?? groupNode) !== undefined;
}

/**
 * Asks one controller.
 *
 * @param kernel the port; this process is made non-dumpable, for it will hold the device's descriptor
 * @param entry a function for which {@linkcode canBeProbed} is true
 * @throws {HostNotReadyError} if it cannot be opened, or its registers make no sense
 * @throws {IdentityDriftError} if its node is another function's
 */
export async function probeController(
  kernel: Kernel,
  entry: SnapshotFunction,
): Promise<ControllerMemory> {
  const target = targetOf(entry);
  kernel.makeNonDumpable();
  const shared = new SharedIommufd(kernel);
  const lane = kernel.openLane(entry.address);
  try {
    const access = new GroupAccess(kernel, shared);
    const device = await access.openDevice(lane, target);
    try {
      return await ask(lane, device, target);
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

async function ask(
  lane: Lane,
  device: Fd,
  { address, node }: RouteTarget,
): Promise<ControllerMemory> {
  const told = await explained(`ask which device ${node} is`, () => lane.deviceAddress(device));
  if (told !== address) {
    const other = told ?? "one of which the kernel tells nothing";
    throw new IdentityDriftError(`Cannot take ${node} for ${address}: it is the node of ${other}`);
  }
  const read = ({ offset, length }: { readonly offset: bigint; readonly length: number }) =>
    explained(
      `read the registers of ${address}`,
      () => lane.readRegion(device, REGISTERS_BAR, offset, length),
    );
  const answer = controllerMemoryOf(
    await read(CMB_REGISTERS.capabilities),
    await read(CMB_REGISTERS.location),
  );
  if (answer.is === "read") return answer.memory;
  throw new HostNotReadyError(`Cannot tell where the memory of ${address} is: ${answer.why}`);
}
