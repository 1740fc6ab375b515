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
  for (const fn of functions) {
    const device = new SimVfioDevice(fn);
    devices.set(fn.node, device);
    if (fn.group === undefined) continue;
    const node = `/dev/vfio/${fn.group}`;
    const group = groups.get(node) ?? new SimGroup(node);
    group.devices.push(device);
    groups.set(node, group);
  }
  return { devices, groups };
}
