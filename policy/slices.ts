/**
 * Slices as intervals and as ranges of a buffer.
 *
 * @module
 */
import type { Interval } from "./interval.ts";
import type { SliceRule } from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";

/**
 * The bytes that a slice covers; `rest` reaches as far as any BAR could.
 *
 * @example
 * ```ts
 * import { intervalOf } from "./slices.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(intervalOf({ offset: 4n, length: 4n }), { start: 4n, end: 8n });
 * ```
 */
export function intervalOf(slice: Pick<SliceRule, "offset" | "length">): Interval {
  const end = slice.length === "rest" ? QUANTITY_LIMIT : slice.offset + slice.length;
  return { start: slice.offset, end };
}

/**
 * Merges slices that touch in buffer order: the kernel sees them as one range.
 *
 * @param slices in buffer order
 */
export function mergeAdjacent(slices: readonly SliceRule[]): readonly SliceRule[] {
  const merged: SliceRule[] = [];
  for (const slice of slices) {
    const last = merged.at(-1);
    if (last === undefined || !touches(last, slice)) merged.push(slice);
    else merged[merged.length - 1] = join(last, slice);
  }
  return merged;
}

function touches(a: SliceRule, b: SliceRule): boolean {
  return a.length !== "rest" && a.offset + a.length === b.offset;
}

function join(a: SliceRule, b: SliceRule): SliceRule {
  const length = a.length === "rest" || b.length === "rest" ? "rest" : a.length + b.length;
  const { endLine, endColumn } = b.at;
  return { offset: a.offset, length, at: { ...a.at, endLine, endColumn } };
}
