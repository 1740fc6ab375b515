/**
 * PCI addresses, `dddd:bb:dd.f`.
 *
 * @module
 */

const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/**
 * Whether a text is a full PCI address as sysfs writes it (lower case, with domain).
 *
 * @param text for example a name in `/sys/bus/pci/devices`
 * @returns true for `0000:03:00.0`
 *
 * @example
 * ```ts
 * import { isPciAddress } from "./address.ts";
 *
 * if (!isPciAddress("0000:03:00.0")) throw new Error("an address");
 * if (isPciAddress("03:00.0")) throw new Error("no domain");
 * ```
 */
export function isPciAddress(text: string): boolean {
  return ADDRESS.test(text);
}

const ROOT_BUS = /^pci(?:[0-9a-f]{4}|[1-9a-f][0-9a-f]{4,7}):[0-9a-f]{2}$/;

/**
 * Whether a text is the name of a root bus as sysfs writes it.
 *
 * @param text for example the first folder of a path below `/sys/devices`
 * @returns true for `pci0000:00`
 */
export function isRootBus(text: string): boolean {
  return ROOT_BUS.test(text);
}
