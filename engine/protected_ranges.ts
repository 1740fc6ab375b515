/**
 * Ranges of BARs that must not leave the device: the MSI-X table, through which a writer chooses
 * where interrupts go, and its pending bits. The kernel exports them without complaint, so refusing
 * them is Bargate's task.
 *
 * @module
 */
import {
  type BarRange,
  capabilityPlace,
  msixRanges,
  PCI_CAP_ID_MSIX,
} from "../host/config_space.ts";
import type { AllowProtected } from "../policy/model.ts";

/** A protected range, rounded out to pages. */
export interface ProtectedRange extends BarRange {
  readonly what: AllowProtected["range"];
}

/** What people call them. */
export const PROTECTED_NAMES: Readonly<Record<ProtectedRange["what"], string>> = {
  "msix-table": "MSI-X table",
  "msix-pba": "MSI-X pending bit array",
};

/** Conventional configuration space, in which the whole list of capabilities lies, bytes. */
const CONVENTIONAL_BYTES = 256;
/** BARs of a function; what names another place is no answer. */
const BARS = 6;

/**
 * The protected ranges of a function. That there are none is said only where the list of its
 * capabilities was seen to its end.
 *
 * @param config its configuration space
 * @param pageSize bytes
 * @returns the ranges in whole pages, or undefined if these bytes do not tell ({@linkcode
 *   whyNotKnown})
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
  if (config.length < CONVENTIONAL_BYTES) return undefined;
  const place = capabilityPlace(config, PCI_CAP_ID_MSIX);
  if (place === "absent") return [];
  const msix = msixRanges(config);
  if (msix === undefined || msix.table.bar >= BARS || msix.pendingBits.bar >= BARS) {
    return undefined;
  }
  const page = BigInt(pageSize);
  return [
    { what: "msix-table", ...toPages(msix.table, page) },
    { what: "msix-pba", ...toPages(msix.pendingBits, page) },
  ];
}

/**
 * Why the protected ranges of a function are not known.
 *
 * @param address of the function
 * @param config its configuration space, which does not tell
 */
export function whyNotKnown(address: string, config: Uint8Array): string {
  if (config.length < CONVENTIONAL_BYTES) {
    return `only ${config.length} bytes of the configuration space of ${address} could be read`;
  }
  const place = capabilityPlace(config, PCI_CAP_ID_MSIX);
  return place === "unread"
    ? `the list of capabilities of ${address} cannot be followed to its end (it answers with ones, or leads out of the list's place)`
    : `the MSI-X capability of ${address} makes no sense`;
}

function toPages(range: BarRange, page: bigint): BarRange {
  const start = range.offset / page * page;
  const end = (range.offset + range.length + page - 1n) / page * page;
  return { bar: range.bar, offset: start, length: end - start };
}
