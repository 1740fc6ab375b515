/**
 * The devices of a simulated host, by the nodes that they are opened by.
 *
 * @module
 */
import { SimGroup } from "./group.ts";
import { type SimFunction, SimVfioDevice } from "./vfio.ts";

/** Devices and IOMMU groups by the path of their node. */
export interface SimDevices {
  readonly devices: Map<string, SimVfioDevice>;
  readonly groups: Map<string, SimGroup>;
}

/** @returns the devices of these functions, closed */
export function devicesOf(functions: readonly SimFunction[]): SimDevices {
  const devices = new Map<string, SimVfioDevice>();
  const groups = new Map<string, SimGroup>();
  const byAddress = new Map<string, SimVfioDevice>();
  // Physical functions first: their virtual functions belong to them.
  const order = functions.toSorted((a, b) => Number(isVirtual(a)) - Number(isVirtual(b)));
  for (const fn of order) {
    const device = new SimVfioDevice(fn, byAddress.get(fn.physfn ?? ""));
    byAddress.set(fn.address, device);
    devices.set(fn.node, device);
    if (fn.group === undefined) continue;
    const node = `/dev/vfio/${fn.group}`;
    const group = groups.get(node) ?? new SimGroup(node);
    group.devices.push(device);
    groups.set(node, group);
  }
  return { devices, groups };
}

function isVirtual({ physfn }: SimFunction): boolean {
  return physfn !== undefined;
}
