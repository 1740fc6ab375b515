/**
 * Where an NVMe controller has its memory buffer, by its registers.
 *
 * NVM Express Base Specification 2.0: CAP 3.1.3.1, CMBLOC 3.1.3.11, CMBSZ 3.1.3.12, CMBMSC 3.1.3.17.
 * A controller that has CMBMSC shows CMBLOC and CMBSZ as zeros until somebody enables the capability
 * there; earlier ones show them always.
 *
 * @module
 */
import type { ControllerMemory } from "./snapshot.ts";

/**
 * The registers, in BAR 0. What an access of several registers does is undefined, and the kernel makes
 * one access of eight aligned bytes: so each is read by itself, and those of 64 bits in halves.
 */
export const CMB_REGISTERS = {
  capabilities: { offset: 0x00n, length: 4 },
  capabilitiesUpper: { offset: 0x04n, length: 4 },
  /** CMBLOC. */
  location: { offset: 0x38n, length: 4 },
  /** CMBSZ. */
  size: { offset: 0x3cn, length: 4 },
  /** CMBMSC: its lower half, with the bits that enable, and its upper one. */
  control: { offset: 0x50n, length: 4 },
  controlUpper: { offset: 0x54n, length: 4 },
  /** CMBSTS. */
  status: { offset: 0x58n, length: 4 },
} as const;

/** Bit 0 of CMBMSC (CRE): location and size are shown. */
export const CMBMSC_CRE = 1n;
/** Bit 1 of CMBMSC (CMSE): the controller takes addresses from the base on for the buffer's. */
export const CMBMSC_CMSE = 2n;
/** Bits of CMBMSC that are the base address (CBA). */
const CMBMSC_CBA = 0xffff_ffff_ffff_f000n;
/** Bit 0 of CMBSTS (CBAI): the base address is not accepted. */
const CMBSTS_CBAI = 1;

/** Bit 57 of CAP (CMBS): there is a buffer, and CMBMSC to enable it by. */
const CAP_CMBS = 1n << 57n;
/** Of CAP, and of CMBLOC and CMBSZ together. */
const ANSWER_BYTES = 8;
/** What a function that does not answer shows. */
const NO_ANSWER = 0xffff_ffff;
/** Sizes are in units of 4 KiB, 64 KiB and so on up to 64 GiB. */
const LARGEST_UNIT = 6;
const PAGE = 4096n;

/** What the registers say, or why they say nothing. */
export type CmbAnswer =
  | { readonly is: "read"; readonly memory: ControllerMemory }
  | { readonly is: "nonsense"; readonly why: string };

/**
 * Decodes the registers.
 *
 * @param capabilities the eight bytes of CAP
 * @param location the eight bytes of CMBLOC and CMBSZ
 *
 * @example
 * ```ts
 * import { controllerMemoryOf } from "./nvme_cmb.ts";
 *
 * const location = new Uint8Array(8);
 * const view = new DataView(location.buffer);
 * view.setUint32(0, 2, true); // in BAR 2, from its start
 * view.setUint32(4, 16 << 12 | 2 << 8, true); // 16 units of 1 MiB
 * const answer = controllerMemoryOf(new Uint8Array(8), location);
 * if (answer.is !== "read" || answer.memory.state !== "enabled") throw new Error("wrong");
 * ```
 */
export function controllerMemoryOf(capabilities: Uint8Array, location: Uint8Array): CmbAnswer {
  if (capabilities.length < ANSWER_BYTES || location.length < ANSWER_BYTES) {
    const received = `${capabilities.length} and ${location.length}`;
    return nonsense(`the registers have eight bytes each (received ${received})`);
  }
  const supported = viewOf(capabilities).getBigUint64(0, true);
  const place = viewOf(location).getUint32(0, true);
  const size = viewOf(location).getUint32(4, true);
  if (supported === 0xffff_ffff_ffff_ffffn || place === NO_ANSWER || size === NO_ANSWER) {
    return nonsense("the controller does not answer");
  }
  const units = size >>> 12;
  if (units !== 0) return enabled(place, size, units);
  const there = (supported & CAP_CMBS) !== 0n;
  return { is: "read", memory: there ? { state: "disabled" } : { state: "none" } };
}

/**
 * The value of CMBMSC that enables a buffer, in two halves: the upper one is to be written first, for
 * the lower one takes effect.
 *
 * @param base address that the controller is to take for the buffer's first byte; a multiple of 4 KiB
 *
 * @example
 * ```ts
 * import { enablingControl } from "./nvme_cmb.ts";
 *
 * const { upper, lower } = enablingControl(0x38_fe00_0000n);
 * if (upper.join() !== "56,0,0,0" || lower.join() !== "3,0,0,254") throw new Error("wrong");
 * ```
 */
export function enablingControl(base: bigint): { upper: Uint8Array; lower: Uint8Array } {
  const value = base & CMBMSC_CBA | CMBMSC_CMSE | CMBMSC_CRE;
  return { upper: half(value >> 32n), lower: half(value) };
}

/** The lower half of CMBMSC by which location and size are shown, and nothing else happens. */
export function showingControl(): Uint8Array {
  return half(CMBMSC_CRE);
}

/** @returns whether the controller, by its CMBSTS, has not accepted the base address */
export function baseIsInvalid(status: Uint8Array): boolean {
  return ((status[0] ?? 0) & CMBSTS_CBAI) !== 0;
}

function half(value: bigint): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, Number(value & 0xffff_ffffn), true);
  return bytes;
}

function enabled(place: number, size: number, units: number): CmbAnswer {
  const bar = place & 7;
  const unit = (size >>> 8) & 0xf;
  if (bar === 1 || bar > 5) {
    return nonsense(`no BAR ${bar} can hold it (received CMBLOC ${hex(place)})`);
  }
  if (unit > LARGEST_UNIT) {
    return nonsense(`there is no size unit ${unit} (received CMBSZ ${hex(size)})`);
  }
  const bytes = PAGE << BigInt(4 * unit);
  const memory: ControllerMemory = {
    state: "enabled",
    bar,
    offset: BigInt(place >>> 12) * bytes,
    size: BigInt(units) * bytes,
  };
  return { is: "read", memory };
}

function nonsense(why: string): CmbAnswer {
  return { is: "nonsense", why };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
