/**
 * Ranges of bytes as people read them.
 *
 * @module
 */
import type { Interval } from "./interval.ts";

/** Beyond every BAR. */
const BAR_END = 1n << 64n;

/**
 * A half-open interval: the first byte, and the first behind it.
 *
 * @param interval of one BAR; one that ends at 2^64 or later runs to the end of the BAR
 *
 * @example
 * ```ts
 * import { rangeText } from "./range_text.ts";
 *
 * const text = rangeText({ start: 0x1000n, end: 0x3000n });
 * if (text !== "[0x1000, 0x3000)") throw new Error(text);
 * ```
 */
export function rangeText({ start, end }: Interval): string {
  return `[${hex(start)}, ${end >= BAR_END ? "end of the BAR" : hex(end)})`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
