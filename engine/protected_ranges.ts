/**
 * Ranges of BARs that must not leave the device: the MSI-X table, through which a writer chooses
 * where interrupts go, and its pending bits. The kernel exports them without complaint, so refusing
 * them is Bargate's task.
 *
 * @module
 */
import { type BarRange, CONFIG_HEADER_BYTES, msixRanges } from "../host/config_space.ts";
import type { AllowProtected } from "../policy/model.ts";

/** A protected range, rounded out to pages. */
export interface ProtectedRange extends BarRange {
  readonly what: AllowProtected["range"];
}

/**
 * The protected ranges of a function.
 *
 * @param config its configuration space
 * @param pageSize bytes
 * @returns the ranges in whole pages, or undefined if too little of the configuration space could
 *   be read to know them
 *
 * @example
 * ```ts
 * import { protectedRanges } from "./protected_ranges.ts";
 *
 * if (protectedRanges(new Uint8Array(64), 4096) !== undefined) throw new Error("cannot be known");
 * if (protectedRanges(new Uint8Array(256), 4096)?.length !== 0) throw new Error("there are none");
 * ```
 */
export function protectedRanges(
  config: Uint8Array,
  pageSize: number,
): readonly ProtectedRange[] | undefined {
  if (config.length <= CONFIG_HEADER_BYTES) return undefined;
  const msix = msixRanges(config);
  if (msix === undefined) return [];
  const page = BigInt(pageSize);
  return [
    { what: "msix-table", ...toPages(msix.table, page) },
    { what: "msix-pba", ...toPages(msix.pendingBits, page) },
  ];
}

function toPages(range: BarRange, page: bigint): BarRange {
  const start = range.offset / page * page;
  const end = (range.offset + range.length + page - 1n) / page * page;
  return { bar: range.bar, offset: start, length: end - start };
}
