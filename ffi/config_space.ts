/**
 * A function's configuration space as sysfs gives it.
 *
 * @module
 */
import { readFile } from "./read_file.ts";

/** Of a PCI Express function, bytes; others end before. */
const EXTENDED_CONFIG_BYTES = 4096;

/**
 * Reads it. While the function is being reset this waits, however long that takes: the kernel blocks
 * every access (`pci_cfg_access_lock` in drivers/pci/access.c).
 *
 * @param address of the function
 * @returns all that this process may read
 * @throws {KernelError} if the function is not there, or does not answer
 */
export function configSpace(address: string): Uint8Array {
  return readFile(`/sys/bus/pci/devices/${address}/config`, EXTENDED_CONFIG_BYTES, true);
}
