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

/** Is told of every revoke (true) and restore (false) of a device's buffers. */
export type OnMove = (address: string, revoked: boolean) => void;

/** @returns the devices of these functions, closed */
export function devicesOf(
  functions: readonly SimFunction[],
  onMove: OnMove = () => {},
): SimDevices {
  const made: SimDevices = { devices: new Map(), groups: new Map() };
  addDevices(made, functions, onMove);
  return made;
}

/** The driver gives a function up. @returns resolves when nobody has it open any more */
export function unbind({ devices, groups }: SimDevices, address: string): Promise<void> {
  const device = deviceAt(devices, address);
  devices.delete(device.fn.node);
  for (const group of groups.values()) {
    if (group.devices.includes(device)) group.devices.splice(group.devices.indexOf(device), 1);
  }
  return device.unbind();
}

/** @returns the driver's side of a function */
export function deviceAt(devices: SimDevices["devices"], address: string): SimVfioDevice {
  const device = [...devices.values()].find(({ fn }) => fn.address === address);
  if (device !== undefined) return device;
  throw new RangeError(`Cannot find ${address}: it is bound to no driver`);
}

/** Adds the devices of functions, closed. */
export function addDevices(
  { devices, groups }: SimDevices,
  functions: readonly SimFunction[],
  onMove: OnMove,
): void {
  const byAddress = new Map([...devices.values()].map((it) => [it.fn.address, it] as const));
  // Physical functions first: their virtual functions belong to them.
  const order = functions.toSorted((a, b) => Number(isVirtual(a)) - Number(isVirtual(b)));
  for (const fn of order) {
    const moved = (revoked: boolean) => onMove(fn.address, revoked);
    const device = new SimVfioDevice(fn, byAddress.get(fn.physfn ?? ""), moved);
    byAddress.set(fn.address, device);
    devices.set(fn.node, device);
    if (fn.group === undefined) continue;
    const node = `/dev/vfio/${fn.group}`;
    const group = groups.get(node) ?? new SimGroup(node);
    group.devices.push(device);
    groups.set(node, group);
  }
}

function isVirtual({ physfn }: SimFunction): boolean {
  return physfn !== undefined;
}
