/** What another process than Bargate does with a device, by VFIO. @module */
import type { Fd } from "../../engine/fd.ts";
import { GroupAccess } from "../../engine/group_access.ts";
import type { Lane } from "../../engine/kernel.ts";
import { SharedIommufd } from "../../engine/shared_iommufd.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import type { CaseContext } from "../guest/case.ts";
import type { LabDevice } from "../machine/topology.ts";

/** CMBMSC of an NVMe controller, eight bytes in BAR 0. */
export const CMBMSC = 0x50n;

/** Opens a device as another process would. */
export async function whileOpen<T>(
  context: CaseContext,
  { address }: LabDevice,
  step: (lane: Lane, device: Fd) => Promise<T>,
): Promise<T> {
  const kernel = new LinuxKernel();
  const shared = new SharedIommufd(kernel);
  const lane = kernel.openLane(address);
  try {
    const target = { address, node: await context.vfioNode(address), route: "cdev" } as const;
    const device = await new GroupAccess(kernel, shared).openDevice(lane, target);
    try {
      return await step(lane, device);
    } finally {
      await lane.close(device);
    }
  } finally {
    await lane.end();
    shared.close();
  }
}

/** Writes CMBMSC of a controller that nobody has open. @returns what was there */
export async function writeControl(
  context: CaseContext,
  device: LabDevice,
  value: Uint8Array,
): Promise<Uint8Array> {
  return await whileOpen(context, device, async (lane, fd) => {
    const before = await lane.readRegion(fd, 0, CMBMSC, value.length);
    await lane.writeRegion(fd, 0, CMBMSC, value);
    return before;
  });
}
