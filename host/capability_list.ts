/**
 * The capabilities of a function, in the order of their chains. The bytes are a device's own: every
 * walk is bounded, and ends where a chain leaves the bytes or comes back to itself.
 *
 * @module
 */
import { CONFIG_HEADER_BYTES } from "./config_space.ts";

/** One capability. */
export interface Capability {
  readonly id: number;
  /** Offset of its header. */
  readonly at: number;
}

const PCI_STATUS = 0x06;
const PCI_STATUS_CAP_LIST = 0x10;
const PCI_CAPABILITY_LIST = 0x34;
const PCI_EXT_START = 0x100;
const MOST_EXTENDED = (4096 - PCI_EXT_START) / 8;

/**
 * @param config configuration space
 * @returns the capabilities of the first 256 bytes
 *
 * @example
 * ```ts
 * import { standardCapabilities } from "./capability_list.ts";
 *
 * const config = new Uint8Array(256);
 * config[0x06] = 0x10;
 * config[0x34] = 0x40;
 * config.set([0x01, 0x40], 0x40); // a chain that comes back to itself
 * if (standardCapabilities(config).length !== 1) throw new Error("one capability");
 * ```
 */
export function standardCapabilities(config: Uint8Array): readonly Capability[] {
  const found: Capability[] = [];
  if (config.length < CONFIG_HEADER_BYTES) return found;
  if (((config[PCI_STATUS] ?? 0) & PCI_STATUS_CAP_LIST) === 0) return found;
  const seen = new Set<number>();
  let at = (config[PCI_CAPABILITY_LIST] ?? 0) & ~3;
  while (at >= CONFIG_HEADER_BYTES && at + 2 <= config.length && !seen.has(at)) {
    seen.add(at);
    found.push({ id: config[at] ?? 0, at });
    at = (config[at + 1] ?? 0) & ~3;
  }
  return found;
}

/**
 * @param config configuration space; of less than 4096 bytes nothing may be found
 * @returns the capabilities of the bytes from 256 on
 */
export function extendedCapabilities(config: Uint8Array): readonly Capability[] {
  const found: Capability[] = [];
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  const seen = new Set<number>();
  let at = PCI_EXT_START;
  while (at >= PCI_EXT_START && at + 4 <= config.length && !seen.has(at)) {
    const header = view.getUint32(at, true);
    if (header === 0 || header === 0xffff_ffff || seen.size >= MOST_EXTENDED) break;
    seen.add(at);
    found.push({ id: header & 0xffff, at });
    at = (header >>> 20) & ~3;
  }
  return found;
}
