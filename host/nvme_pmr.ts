/**
 * Whether an NVMe controller has a persistent memory region, and in which BAR, by its registers.
 *
 * NVM Express Base Specification 2.0, 3.1.3: CAP, PMRCAP and PMRCTL.
 *
 * @module
 */
import type { PersistentMemory } from "./snapshot.ts";

/** The registers, in BAR 0; those of the region are there only if CAP says that there is one. */
export const PMR_REGISTERS = {
  /** PMRCAP. */
  capabilities: { offset: 0xe00n, length: 4 },
  /** PMRCTL. */
  control: { offset: 0xe04n, length: 4 },
} as const;

/** Of both. */
const ANSWER_BYTES = 8;

/** Bit 56 of CAP (PMRS): there is a region. */
const CAP_PMRS = 1n << 56n;
/** Bits 7 to 5 of PMRCAP (BIR): the BAR. */
const BIR_SHIFT = 5;
const BIR_MASK = 7;
/** Bit 0 of PMRCTL (EN). */
const PMRCTL_EN = 1;
const NO_ANSWER = 0xffff_ffff;

/**
 * @param capabilities the eight bytes of CAP
 * @returns whether CAP says that there is a region
 */
export function hasPersistentMemory(capabilities: Uint8Array): boolean {
  return (viewOf(capabilities).getBigUint64(0, true) & CAP_PMRS) !== 0n;
}

/**
 * Decodes the registers of a region that is there. The region is the whole BAR.
 *
 * @param registers the eight bytes of PMRCAP and PMRCTL
 * @returns undefined if they make no sense
 *
 * @example
 * ```ts
 * import { persistentMemoryOf } from "./nvme_pmr.ts";
 *
 * const registers = new Uint8Array([4 << 5, 0, 0, 0, 1, 0, 0, 0]);
 * if (persistentMemoryOf(registers)?.state !== "enabled") throw new Error("wrong");
 * ```
 */
export function persistentMemoryOf(registers: Uint8Array): PersistentMemory | undefined {
  if (registers.length < ANSWER_BYTES) return undefined;
  const view = viewOf(registers);
  const capabilities = view.getUint32(0, true);
  const bar = (capabilities >>> BIR_SHIFT) & BIR_MASK;
  if (capabilities === NO_ANSWER || bar < 2 || bar > 5) return undefined;
  const enabled = (view.getUint32(4, true) & PMRCTL_EN) !== 0;
  return { state: enabled ? "enabled" : "disabled", bar };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
