/**
 * Half-open intervals `[start, end)` of exact numbers, and questions about many of them at once.
 * Nothing here is worse than O(n log n).
 *
 * @module
 */

/** `[start, end)`; empty when `end` is not greater than `start`. */
export interface Interval {
  readonly start: bigint;
  readonly end: bigint;
}

/** Whether the two share a number. */
export function overlaps(a: Interval, b: Interval): boolean {
  return a.start < b.end && b.start < a.end && a.start < a.end && b.start < b.end;
}

/** An interval together with where it stands in the list it came from. */
interface Indexed<T extends Interval> {
  readonly interval: T;
  readonly index: number;
}

function compareStarts<T extends Interval>(a: Indexed<T>, b: Indexed<T>): number {
  if (a.interval.start < b.interval.start) return -1;
  if (a.interval.start > b.interval.start) return 1;
  return a.index - b.index;
}

function sorted<T extends Interval>(intervals: readonly T[]): Indexed<T>[] {
  return intervals
    .map((interval, index) => ({ interval, index }))
    .filter(({ interval }) => interval.start < interval.end)
    .sort(compareStarts);
}

/**
 * Finds intervals that overlap another one of the list.
 *
 * @param intervals in any order; empty ones overlap nothing
 * @returns pairs of list positions, earlier first; every interval that overlaps one with a lower
 * start is in one pair as the overlapping one, so the list is as long as the input at most
 *
 * @example
 * ```ts
 * import { findOverlaps } from "./interval.ts";
 * import assert from "node:assert/strict";
 *
 * const intervals = [{ start: 8n, end: 16n }, { start: 0n, end: 9n }, { start: 16n, end: 20n }];
 * assert.deepEqual(findOverlaps(intervals), [[0, 1]]);
 * ```
 */
export function findOverlaps(
  intervals: readonly Interval[],
): readonly (readonly [number, number])[] {
  const pairs: [number, number][] = [];
  let reach: Indexed<Interval> | undefined;
  for (const current of sorted(intervals)) {
    if (reach !== undefined && current.interval.start < reach.interval.end) {
      pairs.push([Math.min(reach.index, current.index), Math.max(reach.index, current.index)]);
    }
    if (reach === undefined || current.interval.end > reach.interval.end) reach = current;
  }
  return pairs.sort(([, a], [, b]) => a - b);
}

/** Many intervals, prepared for questions in logarithmic time. */
export class IntervalIndex<T extends Interval> {
  readonly #starts: readonly bigint[];
  /** The same as numbers, where all are exact: comparing those is several times as fast. */
  readonly #exact: Float64Array | undefined;
  /** The first start, and how many there are to a byte. */
  readonly #first: number;
  readonly #density: number;
  /** At position i: which of the first i + 1 intervals reaches farthest. */
  readonly #reach: readonly T[];
  /** What one question looks at, side by side: see {@linkcode recordsOf}. */
  readonly #records: Float64Array;

  /**
   * @param intervals in any order; empty ones are left out
   * @param label what {@linkcode aloneAt} is to give for an interval, a whole number from 0 up
   */
  constructor(intervals: readonly T[], label: (interval: T) => number = () => 0) {
    const order = sorted(intervals);
    this.#starts = order.map(({ interval }) => interval.start);
    const last = this.#starts.at(-1) ?? 0n;
    if (last <= MAX_EXACT) this.#exact = Float64Array.from(this.#starts, Number);
    const first = this.#starts[0] ?? 0n;
    this.#first = Number(first);
    const distance = Number(last - first);
    this.#density = distance === 0 ? 0 : (order.length - 1) / distance;
    const reach: T[] = [];
    for (const { interval } of order) {
      const best = reach.at(-1);
      reach.push(best === undefined || interval.end > best.end ? interval : best);
    }
    this.#reach = reach;
    this.#records = recordsOf(this.#starts, reach, label);
  }

  /**
   * The label of an interval that covers all of `[start, end)` by itself. It looks at nothing but
   * numbers that stand together, so that many intervals cost little more than few.
   *
   * @returns -1 where none does, or the numbers are too large to tell; {@linkcode cover} can
   */
  aloneAt(start: bigint, end: bigint): number {
    const exact = this.#exact;
    const from = Number(start);
    const to = Number(end);
    if (exact === undefined || !(from < to) || to > Number.MAX_SAFE_INTEGER) return -1;
    const at = this.#lastUpTo(exact, from) * RECORD;
    return at >= 0 && (this.#records[at + 1] ?? 0) >= to ? this.#records[at + 2] ?? -1 : -1;
  }

  /**
   * Slices of one size stand at even distances: there the place can be computed, and is then right or
   * nearly so. Where it is not, the search is as long as it would have been.
   */
  #lastUpTo(exact: Float64Array, point: number): number {
    const guess = Math.floor((point - this.#first) * this.#density);
    const here = this.#records[guess * RECORD];
    if (here === undefined || here > point) return countUpTo(exact, point) - 1;
    const next = this.#records[guess * RECORD + RECORD];
    return next === undefined || next > point ? guess : countUpTo(exact, point) - 1;
  }

  /** An interval that shares a number with `[start, end)`. */
  overlapping(start: bigint, end: bigint): T | undefined {
    if (start >= end) return undefined;
    const best = this.farthestFrom(end - 1n);
    return best !== undefined && best.end > start ? best : undefined;
  }

  /**
   * Intervals that together cover all of `[start, end)`, lowest first.
   *
   * @returns absent when some number of it is in none, or when it is empty
   *
   * @example
   * ```ts
   * import { IntervalIndex } from "./interval.ts";
   * import assert from "node:assert/strict";
   *
   * const index = new IntervalIndex([{ start: 4n, end: 8n }, { start: 0n, end: 4n }]);
   * assert.equal(index.cover(2n, 6n)?.length, 2);
   * assert.equal(index.cover(2n, 9n), undefined);
   * ```
   */
  cover(start: bigint, end: bigint): readonly T[] | undefined {
    return coverOf([this], start, end);
  }

  /** Of the intervals that start at or before `point`, the one that reaches farthest. */
  farthestFrom(point: bigint): T | undefined {
    const exact = this.#exact;
    // A point that is not exact as a number is greater than every start that is.
    const count = exact === undefined
      ? countUpTo(this.#starts, point)
      : countUpTo(exact, Number(point));
    return this.#reach[count - 1];
  }
}

/**
 * Intervals of any of the indices that together cover all of `[start, end)`, lowest first.
 *
 * @returns absent when some number of it is in none, or when it is empty
 */
export function coverOf<T extends Interval>(
  indices: readonly IntervalIndex<T>[],
  start: bigint,
  end: bigint,
): readonly T[] | undefined {
  if (start >= end) return undefined;
  const cover: T[] = [];
  let covered = start;
  while (covered < end) {
    let best: T | undefined;
    for (const index of indices) {
      const next = index.farthestFrom(covered);
      if (next !== undefined && (best === undefined || next.end > best.end)) best = next;
    }
    if (best === undefined || best.end <= covered) return undefined;
    cover.push(best);
    covered = best.end;
  }
  return cover;
}

/** Greatest number that is exact as a floating-point number, and so are all below it. */
const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Numbers to a record. */
const RECORD = 3;

/**
 * For each position in turn: its start; where the one that reaches farthest up to it ends; and that
 * one's label. What is not exact as a number is beyond all that are.
 */
function recordsOf<T extends Interval>(
  starts: readonly bigint[],
  reach: readonly T[],
  label: (interval: T) => number,
): Float64Array {
  const records = new Float64Array(reach.length * RECORD);
  for (const [index, interval] of reach.entries()) {
    const { end } = interval;
    records[index * RECORD] = Number(starts[index]);
    records[index * RECORD + 1] = end <= MAX_EXACT ? Number(end) : Infinity;
    records[index * RECORD + 2] = label(interval);
  }
  return records;
}

/** How many of the ascending values are not greater than `point`. */
function countUpTo<V extends bigint | number>(values: ArrayLike<V>, point: V): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const value = values[middle];
    if (value !== undefined && value <= point) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The same numbers in the fewest intervals: apart, ascending, none empty.
 *
 * @example
 * ```ts
 * import { normalized } from "./interval.ts";
 * import assert from "node:assert/strict";
 *
 * const intervals = [{ start: 4n, end: 8n }, { start: 0n, end: 4n }, { start: 9n, end: 9n }];
 * assert.deepEqual(normalized(intervals), [{ start: 0n, end: 8n }]);
 * ```
 */
export function normalized(intervals: readonly Interval[]): readonly Interval[] {
  const apart: Interval[] = [];
  for (const { interval: { start, end } } of sorted(intervals)) {
    const last = apart.at(-1);
    if (last === undefined || last.end < start) apart.push({ start, end });
    else if (end > last.end) apart[apart.length - 1] = { start: last.start, end };
  }
  return apart;
}

/**
 * The numbers that are in the first list and not in the second.
 *
 * @param from normalized
 * @param taken normalized
 * @returns normalized
 *
 * @example
 * ```ts
 * import { subtract } from "./interval.ts";
 * import assert from "node:assert/strict";
 *
 * const rest = subtract([{ start: 0n, end: 10n }], [{ start: 2n, end: 4n }]);
 * assert.deepEqual(rest, [{ start: 0n, end: 2n }, { start: 4n, end: 10n }]);
 * ```
 */
export function subtract(
  from: readonly Interval[],
  taken: readonly Interval[],
): readonly Interval[] {
  const rest: Interval[] = [];
  let first = 0;
  for (const { start, end } of from) {
    while ((taken[first]?.end ?? end) <= start && first < taken.length) first += 1;
    let at = start;
    for (let index = first; at < end; index += 1) {
      const next = taken[index];
      if (next === undefined || next.start >= end) {
        rest.push({ start: at, end });
        break;
      }
      if (next.start > at) rest.push({ start: at, end: next.start });
      if (next.end > at) at = next.end;
    }
  }
  return rest;
}

/**
 * The numbers that are in both lists.
 *
 * @param a normalized
 * @param b normalized
 * @returns normalized
 */
export function intersect(a: readonly Interval[], b: readonly Interval[]): readonly Interval[] {
  return subtract(a, subtract(a, b));
}

/** What two intervals share. */
export interface Overlap<A, B> extends Interval {
  readonly a: A;
  readonly b: B;
}

/**
 * What intervals of two lists share, in one walk over both.
 *
 * @param first in order, none overlapping another
 * @param second in order, none overlapping another
 * @returns in order
 */
export function overlapping<A extends Interval, B extends Interval>(
  first: readonly A[],
  second: readonly B[],
): readonly Overlap<A, B>[] {
  const found: Overlap<A, B>[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined || b === undefined) return found;
    const start = a.start > b.start ? a.start : b.start;
    const end = a.end < b.end ? a.end : b.end;
    if (start < end) found.push({ start, end, a, b });
    if (a.end < b.end) i++;
    else j++;
  }
}
