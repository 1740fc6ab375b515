import assert from "node:assert/strict";
import fc from "fast-check";
import { findOverlaps, type Interval, IntervalIndex, overlaps } from "../../policy/interval.ts";
import { runs } from "../support/runs.ts";

/** Small numbers, so that touching, overlapping and empty intervals are all common. */
const anyInterval = fc.tuple(fc.bigInt(0n, 40n), fc.bigInt(0n, 12n))
  .map(([start, length]): Interval => ({ start, end: start + length }));
const anyList = fc.array(anyInterval, { maxLength: 12 });

/** The numbers of an interval, one by one: slow and obvious. */
function numbersOf({ start, end }: Interval): readonly bigint[] {
  const numbers: bigint[] = [];
  for (let n = start; n < end; n++) numbers.push(n);
  return numbers;
}

function slowOverlap(a: Interval, b: Interval): boolean {
  return numbersOf(a).some((n) => numbersOf(b).includes(n));
}

Deno.test("overlaps() agrees with counting numbers", () => {
  fc.assert(fc.property(anyInterval, anyInterval, (a, b) => {
    assert.equal(overlaps(a, b), slowOverlap(a, b));
  }));
});

Deno.test("findOverlaps() finds only overlaps, and some for every interval that overlaps", () => {
  fc.assert(fc.property(anyList, (list) => {
    const pairs = findOverlaps(list);
    for (const [i, j] of pairs) {
      const [a, b] = [list[i], list[j]];
      assert.ok(i < j && a !== undefined && b !== undefined && slowOverlap(a, b));
    }
    const anyPair = list.some((a, i) => list.some((b, j) => i < j && slowOverlap(a, b)));
    assert.equal(pairs.length > 0, anyPair);
    assert.ok(pairs.length <= list.length);
  }));
});

Deno.test("IntervalIndex.overlapping() agrees with looking at each interval", () => {
  fc.assert(fc.property(anyList, anyInterval, (list, query) => {
    const found = new IntervalIndex(list).overlapping(query.start, query.end);
    if (found !== undefined) assert.ok(slowOverlap(found, query));
    else assert.ok(!list.some((interval) => slowOverlap(interval, query)));
  }));
});

Deno.test("IntervalIndex.cover() covers exactly when every number is in some interval", () => {
  fc.assert(fc.property(anyList, anyInterval, (list, query) => {
    const wanted = numbersOf(query);
    const coverable = wanted.length > 0 &&
      wanted.every((n) => list.some((interval) => numbersOf(interval).includes(n)));
    const cover = new IntervalIndex(list).cover(query.start, query.end);
    assert.equal(cover !== undefined, coverable);
    if (cover !== undefined) {
      assert.ok(wanted.every((n) => cover.some((interval) => numbersOf(interval).includes(n))));
    }
  }));
});

Deno.test("IntervalIndex.aloneAt() finds an interval exactly when one covers all, whatever the distances", () => {
  const LARGE = BigInt(Number.MAX_SAFE_INTEGER);
  const place = fc.oneof(
    fc.bigInt(0n, 40n),
    fc.bigInt(0n, 12n).map((step) => step * 8192n),
    fc.bigInt(LARGE - 3n, LARGE + 3n),
    fc.constant(1n << 64n),
  );
  const anyInterval = fc.tuple(place, place).map(([start, end]) => ({ start, end }));
  const even = fc.tuple(fc.nat(20), fc.bigInt(1n, 9000n)).map(([count, step]) =>
    Array.from({ length: count }, (_, at) => ({
      start: BigInt(at) * step,
      end: BigInt(at) * step + step / 2n,
    }))
  );
  const lists = fc.oneof(fc.array(anyInterval, { maxLength: 12 }), even);
  fc.assert(
    fc.property(lists, place, place, (list, start, end) => {
      const index = new IntervalIndex(list, (interval) => list.indexOf(interval));
      const at = index.aloneAt(start, end);
      const covers = (one: { start: bigint; end: bigint }) => one.start <= start && end <= one.end;
      if (at >= 0) {
        const found = list[at];
        assert.ok(found !== undefined && covers(found) && start < end);
        return;
      }
      assert.equal(at, -1);
      // Where numbers are not exact it may pass, and the exact way is taken.
      const exact = list.every((one) => one.start >= one.end || one.start <= LARGE) && end <= LARGE;
      if (exact && start < end) assert.ok(!list.some(covers));
    }),
    { numRuns: runs(3000) },
  );
});
