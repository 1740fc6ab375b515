/**
 * Which device a VFIO descriptor is of.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { isPciAddress } from "../host/address.ts";
import { readFdinfo } from "./fdinfo.ts";

/**
 * The PCI address that fdinfo tells.
 *
 * @param device a descriptor from anywhere
 * @returns absent: it tells none
 * @throws {KernelError} if fdinfo cannot be read
 */
export function deviceAddress(device: Fd): string | undefined {
  return parseDeviceFdinfo(readFdinfo(device));
}

/**
 * The PCI address in the fdinfo of a VFIO device.
 *
 * @param text fdinfo
 * @returns absent: it tells none
 *
 * @example
 * ```ts
 * import { parseDeviceFdinfo } from "./device_address.ts";
 *
 * const text = "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:07.0/0000:01:00.0\n";
 * if (parseDeviceFdinfo(text) !== "0000:01:00.0") throw new Error("the last part is the address");
 * ```
 */
export function parseDeviceFdinfo(text: string): string | undefined {
  const path = /^vfio-device-syspath:\s*(\/sys\/devices\/\S+)$/m.exec(text)?.[1];
  const last = path?.split("/").at(-1);
  return last !== undefined && isPciAddress(last) ? last : undefined;
}
