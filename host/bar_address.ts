/**
 * Where a BAR is on the bus, by the registers of configuration space.
 *
 * @module
 */

/** PCI_BASE_ADDRESS_0. */
export const PCI_BASE_ADDRESSES = 0x10;
/** Bytes of the six registers. */
export const BASE_ADDRESSES_BYTES = 24;
const BARS = 6;
const IO_SPACE = 0x1;
const TYPE_MASK = 0x6;
const TYPE_64 = 0x4;
const ADDRESS_MASK = 0xffff_fff0n;

/**
 * @param registers the 24 bytes of the base address registers
 * @param bar index
 * @returns its first address on the bus; undefined if it has none in memory space, as that of a virtual
 *   function, whose registers read as 0
 *
 * @example
 * ```ts
 * import { barAddress } from "./bar_address.ts";
 *
 * const registers = new Uint8Array(24);
 * new DataView(registers.buffer).setUint32(8, 0xfe00_000c, true);
 * new DataView(registers.buffer).setUint32(12, 0x38, true);
 * if (barAddress(registers, 2) !== 0x38_fe00_0000n) throw new Error("wrong");
 * if (barAddress(registers, 0) !== undefined) throw new Error("wrong");
 * ```
 */
export function barAddress(registers: Uint8Array, bar: number): bigint | undefined {
  if (registers.length < BASE_ADDRESSES_BYTES || bar < 0 || bar >= BARS) return undefined;
  const view = new DataView(registers.buffer, registers.byteOffset, registers.byteLength);
  const lower = view.getUint32(bar * 4, true);
  if ((lower & IO_SPACE) !== 0) return undefined;
  const wide = (lower & TYPE_MASK) === TYPE_64 && bar + 1 < BARS;
  const upper = wide ? BigInt(view.getUint32((bar + 1) * 4, true)) : 0n;
  const address = upper << 32n | BigInt(lower) & ADDRESS_MASK;
  return address === 0n ? undefined : address;
}
