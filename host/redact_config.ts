/**
 * Configuration space without what only its own host should know. What is kept is listed: the
 * header, and of the capabilities the registers that decisions or people need. All other bytes can
 * hold anything, serial numbers among them, and are 0.
 *
 * Capabilities that overlap, or that reach out of where their kind is, cannot be kept apart: what is hidden of one can be what decides in
 * another. Of such a function the header alone is kept, by which nothing is decided.
 *
 * Layouts: include/uapi/linux/pci_regs.h.
 *
 * @module
 */
import { type Capability, extendedCapabilities, standardCapabilities } from "./capability_list.ts";
import { CONFIG_HEADER_BYTES } from "./config_space.ts";

/** Bytes that are kept of a standard capability, header included. Of others only the header is. */
const STANDARD: ReadonlyMap<number, number> = new Map([
  [0x01, 8], // power management
  [0x05, 4], // MSI, without address and data
  [0x0d, 8], // subsystem of a bridge
  [0x10, 0x3c], // PCI Express
  [0x11, 12], // MSI-X
  [0x13, 6], // advanced features: function level reset
]);
/** Version 1 of PCI Express is shorter. */
const EXPRESS_V1_BYTES = 0x14;
const STANDARD_HEADER = 2;
/** Where standard capabilities end, and extended ones begin. */
const STANDARD_BYTES = 0x100;

/** The same of an extended one. */
const EXTENDED: ReadonlyMap<number, number> = new Map([
  [0x01, 0x1c], // advanced error reporting, without the packets that it logged
  [0x03, 12], // serial number, as an alias
  [0x0b, 8], // vendor specific: which and how long
  [0x0d, 8], // access control services
  [0x0e, 8], // alternative routing id
  [0x0f, 8], // address translation services
  [0x10, 0x40], // SR-IOV
  [0x13, 16], // page requests
  [0x18, 8], // latency tolerance
  [0x1b, 8], // process address spaces
  [0x1d, 12], // downstream port containment
  [0x1f, 12], // precision time
  [0x23, 10], // designated vendor specific: which and how long
]);
const EXTENDED_HEADER = 4;
/** Of the function, and of its virtual ones. */
const CAPS_RESIZABLE: ReadonlySet<number> = new Set([0x15, 0x24]);

const CAP_EXPRESS = 0x10;
const EXPRESS_SLOT = 0x14;
/** Bits of the slot register that hold its number. */
const SLOT_NUMBER = 0xfff8_0000;
const CAP_SERIAL = 0x03;
const SERIAL_BYTES = 8;

/** A capability and how many bytes of it are kept. */
interface Region extends Capability {
  readonly length: number;
}

/**
 * Keeps the registers that are listed.
 *
 * @param config configuration space
 * @param aliasOf what stands for a serial number
 * @returns as many bytes; 64 of them if capabilities overlap, or reach out of where their kind is
 */
export function redactConfig(
  config: Uint8Array,
  aliasOf: (serial: bigint) => bigint,
): Uint8Array {
  const standard = standardCapabilities(config)
    .map((each) => ({ ...each, length: standardLength(config, each) }));
  const extended = extendedCapabilities(config)
    .map((each) => ({ ...each, length: extendedLength(config, each) }));
  const regions = [...standard, ...extended];
  const spills = standard.some(({ at, length }) => at + length > STANDARD_BYTES);
  if (spills || overlap(regions)) return config.slice(0, CONFIG_HEADER_BYTES);
  const kept = new Uint8Array(config.length);
  kept.set(config.subarray(0, CONFIG_HEADER_BYTES));
  for (const { at, length } of regions) kept.set(config.subarray(at, at + length), at);
  for (const { id, at, length } of standard) {
    if (id === CAP_EXPRESS && length > EXPRESS_SLOT) hideSlot(kept, at + EXPRESS_SLOT);
  }
  for (const { id, at } of extended) {
    if (id === CAP_SERIAL) hideSerial(kept, config, at + EXTENDED_HEADER, aliasOf);
  }
  return kept;
}

function overlap(regions: readonly Region[]): boolean {
  const sorted = [...regions].sort((a, b) => a.at - b.at);
  return sorted.some(({ at }, index) => {
    const before = sorted[index - 1];
    return before !== undefined && before.at + before.length > at;
  });
}

function standardLength(config: Uint8Array, { id, at }: Capability): number {
  const version = (config[at + 2] ?? 0) & 0xf;
  if (id === CAP_EXPRESS && version < 2) return EXPRESS_V1_BYTES;
  return STANDARD.get(id) ?? STANDARD_HEADER;
}

/** Resizable BARs are as many as the first of them says, of which a reader believes any number. */
function extendedLength(config: Uint8Array, { id, at }: Capability): number {
  if (!CAPS_RESIZABLE.has(id)) return EXTENDED.get(id) ?? EXTENDED_HEADER;
  const count = (config[at + 8] ?? 0) >>> 5;
  return EXTENDED_HEADER + 8 * count;
}

function hideSlot(kept: Uint8Array, at: number): void {
  if (at + 4 > kept.length) return;
  const view = new DataView(kept.buffer, kept.byteOffset);
  view.setUint32(at, view.getUint32(at, true) & ~SLOT_NUMBER, true);
}

function hideSerial(
  kept: Uint8Array,
  config: Uint8Array,
  at: number,
  aliasOf: (serial: bigint) => bigint,
): void {
  const whole = at + SERIAL_BYTES <= config.length;
  const serial = whole ? new DataView(config.buffer, config.byteOffset).getBigUint64(at, true) : 0n;
  kept.fill(0, at, at + SERIAL_BYTES);
  if (!whole || serial === 0n) return;
  new DataView(kept.buffer, kept.byteOffset).setBigUint64(at, aliasOf(serial), true);
}
