/**
 * PCI configuration space: what is derived from its raw bytes. The bytes come from sysfs or from a
 * file that somebody sent, so every walk is bounded and every read checked.
 *
 * Registers and capability ids: include/uapi/linux/pci_regs.h.
 *
 * @module
 */

/** `[offset, offset + length)` of one BAR, bytes. */
export interface BarRange {
  readonly bar: number;
  readonly offset: bigint;
  readonly length: bigint;
}

/** Where a function's MSI-X structures lie. */
export interface MsixRanges {
  readonly table: BarRange;
  readonly pendingBits: BarRange;
}

/** Fixed registers of the header. */
export interface ConfigHeader {
  /** Four hexadecimal digits each. */
  readonly vendor: string;
  readonly device: string;
  /** `vvvv:dddd`, of a type 0 header. */
  readonly subsystem?: string;
  /** Six hexadecimal digits. */
  readonly class: string;
}

/** Bytes of the standard header: what an ordinary user may read. */
export const CONFIG_HEADER_BYTES = 64;
/** All of it, where it is extended (PCI Express). */
export const EXTENDED_CONFIG_BYTES = 4096;
/** PCI_COMMAND. */
export const PCI_COMMAND = 0x04;
/** PCI_COMMAND_MEMORY. */
export const PCI_COMMAND_MEMORY = 0x2;

const PCI_STATUS = 0x06;
const PCI_STATUS_CAP_LIST = 0x10;
const PCI_CLASS_REVISION = 0x08;
const PCI_HEADER_TYPE = 0x0e;
/** The bit above says that there are more functions. */
const HEADER_TYPE_MASK = 0x7f;
const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
const PCI_SUBSYSTEM_ID = 0x2e;
const PCI_CAPABILITY_LIST = 0x34;
const PCI_CAP_ID_PM = 0x01;
/** MSI-X. */
export const PCI_CAP_ID_MSIX = 0x11;
/** PCI_PM_CTRL, from the capability's start. */
const PCI_PM_CTRL = 4;
const PCI_PM_CTRL_STATE_MASK = 0x3;
/** A register of a function that is gone, or has no power. */
const NO_ANSWER = 0xffff;
/** The same where the id of a capability should be. */
const NO_CAPABILITY = 0xff;
/** The standard area holds at most this many capabilities. */
const MOST_CAPABILITIES = 48;
const MSIX_ENTRY_BYTES = 16n;

/**
 * Reads the header's identity registers.
 *
 * @param config at least 64 bytes of configuration space
 * @returns ids and class, or undefined if there are too few bytes
 */
export function configHeader(config: Uint8Array): ConfigHeader | undefined {
  if (config.length < CONFIG_HEADER_BYTES) return undefined;
  const subsystem = configSubsystem(config);
  return {
    ...configIds(config),
    class: hex(viewOf(config).getUint32(PCI_CLASS_REVISION, true) >>> 8, 6),
    ...(subsystem === undefined ? {} : { subsystem }),
  };
}

/**
 * Reads the ids alone.
 *
 * @param config at least 64 bytes of configuration space
 */
export function configIds(config: Uint8Array): Pick<ConfigHeader, "vendor" | "device"> {
  const view = viewOf(config);
  return { vendor: hex(view.getUint16(0, true), 4), device: hex(view.getUint16(2, true), 4) };
}

/**
 * Reads what kind of header it is.
 *
 * @param config configuration space
 * @returns 0: of a function that is no bridge; undefined if there are too few bytes
 */
export function headerType(config: Uint8Array): number | undefined {
  if (config.length < CONFIG_HEADER_BYTES) return undefined;
  return viewOf(config).getUint8(PCI_HEADER_TYPE) & HEADER_TYPE_MASK;
}

/**
 * Reads the subsystem's ids alone.
 *
 * @param config configuration space
 * @returns `vvvv:dddd`; undefined if the header is not of type 0, or there are too few bytes
 */
export function configSubsystem(config: Uint8Array): string | undefined {
  if (headerType(config) !== 0) return undefined;
  const view = viewOf(config);
  const vendor = hex(view.getUint16(PCI_SUBSYSTEM_VENDOR_ID, true), 4);
  return `${vendor}:${hex(view.getUint16(PCI_SUBSYSTEM_ID, true), 4)}`;
}

/**
 * Finds a capability of the standard list. Chains that loop, or leave the bytes, end the walk.
 *
 * @param config configuration space, 256 bytes for a whole list
 * @param id capability id
 * @returns its offset, or undefined
 */
export function findCapability(config: Uint8Array, id: number): number | undefined {
  const place = capabilityPlace(config, id);
  return typeof place === "number" ? place : undefined;
}

/**
 * Finds a capability of the standard list, and tells one that is not there from one that cannot be
 * seen: a function that is gone answers with ones, and a list can lead out of what was read.
 *
 * @param config configuration space, 256 bytes for a whole list
 * @param id capability id
 * @returns its offset; `absent`: the list ends without it; `unread`: these bytes do not tell
 *
 * @example
 * ```ts
 * import { capabilityPlace } from "./config_space.ts";
 *
 * const config = new Uint8Array(256);
 * if (capabilityPlace(config, 0x11) !== "absent") throw new Error("there is no list");
 * if (capabilityPlace(config.fill(0xff), 0x11) !== "unread") throw new Error("nobody answered");
 * ```
 */
export function capabilityPlace(config: Uint8Array, id: number): number | "absent" | "unread" {
  if (config.length < CONFIG_HEADER_BYTES) return "unread";
  const view = viewOf(config);
  const status = view.getUint16(PCI_STATUS, true);
  if (status === NO_ANSWER) return "unread";
  if ((status & PCI_STATUS_CAP_LIST) === 0) return "absent";
  let at = view.getUint8(PCI_CAPABILITY_LIST) & ~3;
  for (let seen = 0; seen < MOST_CAPABILITIES; seen++) {
    if (at === 0) return "absent";
    if (at < CONFIG_HEADER_BYTES || at + 2 > config.length) return "unread";
    const found = view.getUint8(at);
    if (found === id) return at;
    if (found === NO_CAPABILITY) return "unread";
    at = view.getUint8(at + 1) & ~3;
  }
  return "unread";
}

/**
 * Where the power state is: the control and status register of power management.
 *
 * @param config configuration space, 256 bytes for a whole list
 * @returns its offset, or undefined if the function has none
 */
export function powerRegister(config: Uint8Array): number | undefined {
  const at = findCapability(config, PCI_CAP_ID_PM);
  if (at === undefined || at + PCI_PM_CTRL + 2 > config.length) return undefined;
  return at + PCI_PM_CTRL;
}

/**
 * The power state that a function's own register tells. The kernel's `power_state` is what the kernel
 * last made of it, which somebody who writes to the register behind its back makes untrue.
 *
 * @param config configuration space, 256 bytes for a whole list
 * @returns 0 to 3 for D0 to D3hot, or undefined if the function has no such register
 */
export function powerStateOf(config: Uint8Array): number | undefined {
  const at = powerRegister(config);
  const value = at === undefined ? undefined : config[at];
  return value === undefined ? undefined : value & PCI_PM_CTRL_STATE_MASK;
}

/**
 * Where the MSI-X table and pending bit array lie (PCI Local Bus Specification 3.0, 6.8.2).
 *
 * @param config configuration space, at least 256 bytes
 * @returns the exact ranges, not rounded to pages; undefined if the function has no MSI-X
 *
 * @example
 * ```ts
 * import { msixRanges } from "./config_space.ts";
 *
 * const config = new Uint8Array(256);
 * const view = new DataView(config.buffer);
 * view.setUint16(0x06, 0x10, true); // there is a capability list
 * view.setUint8(0x34, 0x40); // which starts at 0x40
 * view.setUint8(0x40, 0x11); // with MSI-X
 * view.setUint16(0x42, 64, true); // of 65 entries
 * view.setUint32(0x44, 0x2000, true); // table: BAR 0, 0x2000
 * view.setUint32(0x48, 0x3000, true); // pending bits: BAR 0, 0x3000
 * if (msixRanges(config)?.table.length !== 1040n) throw new Error("wrong");
 * ```
 */
export function msixRanges(config: Uint8Array): MsixRanges | undefined {
  const at = findCapability(config, PCI_CAP_ID_MSIX);
  if (at === undefined || at + 12 > config.length) return undefined;
  const view = viewOf(config);
  const entries = BigInt(view.getUint16(at + 2, true) & 0x7ff) + 1n;
  return {
    table: rangeAt(view.getUint32(at + 4, true), entries * MSIX_ENTRY_BYTES),
    pendingBits: rangeAt(view.getUint32(at + 8, true), ((entries + 63n) / 64n) * 8n),
  };
}

/** Offset register of MSI-X: BAR indicator in the low three bits. */
function rangeAt(register: number, length: bigint): BarRange {
  return { bar: register & 7, offset: BigInt((register & ~7) >>> 0), length };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(value: number, digits: number): string {
  const text = value.toString(16);
  return text.length === digits ? text : text.padStart(digits, "0");
}
