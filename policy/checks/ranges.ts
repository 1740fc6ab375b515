/**
 * Ranges: whole pages, not empty, within 64 bits, and apart from each other inside one buffer.
 *
 * @module
 */
import { readSlices, type Report, type SliceDraft } from "../draft.ts";
import { findOverlaps, type Interval } from "../interval.ts";
import type { SliceRule } from "../model.ts";
import { formatQuantity, QUANTITY_LIMIT } from "../quantity.ts";
import { related } from "../report.ts";
import { intervalOf } from "../slices.ts";
import type { CheckContext, PageSize } from "./context.ts";

/** Checks the slices of exports and denies. */
export function checkRanges({ drafts, pageSize, report }: CheckContext): void {
  for (const draft of drafts) {
    for (const rule of draft.exports) {
      const device = rule.device && draft.devices.get(rule.device.value);
      const sizes = rule.bar && device?.match?.barSizes.get(rule.bar.value);
      for (const slice of rule.slices) {
        checkAlignment(slice, pageSize, sizes, report);
        checkExtent(slice, report);
      }
      checkApart(readSlices(rule.slices), report);
    }
    // A deny may be any bytes: whatever page it touches cannot be exported.
    for (const slice of draft.deny.flatMap((rule) => rule.slices ?? [])) checkExtent(slice, report);
  }
}

/** @param sizes that the BAR may have, as far as the policy says */
function checkAlignment(
  slice: SliceDraft,
  pageSize: PageSize,
  sizes: readonly bigint[] | undefined,
  report: Report,
): void {
  const { bytes } = pageSize;
  const { offset, length } = slice;
  if (offset !== undefined && offset.value % bytes !== 0n) {
    const message = `Cannot export from inside a page: the offset is no multiple of the page size ${
      pagesOf(pageSize)
    } (received ${hex(offset.value)})`;
    report("BG1401", offset.at, message, { fix: wholePages(slice, bytes, sizes) });
  }
  if (typeof length?.value === "bigint" && length.value % bytes !== 0n) {
    const message = `Cannot export part of a page: the length is no multiple of the page size ${
      pagesOf(pageSize)
    } (received ${hex(length.value)})`;
    report("BG1402", length.at, message, { fix: wholePages(slice, bytes, sizes) });
  }
}

function pagesOf({ bytes, assumed }: PageSize): string {
  return `${formatQuantity(bytes)}${assumed ? ", assumed" : ""}`;
}

/**
 * What to write instead is never decided by arithmetic alone: whole pages hold more than the slice,
 * and what that is has to be seen by who writes them.
 */
function wholePages(
  { offset, length }: SliceDraft,
  page: bigint,
  sizes: readonly bigint[] = [],
): string {
  if (offset === undefined || length === undefined) return "write whole pages";
  const start = offset.value - offset.value % page;
  const before = { start, end: offset.value };
  if (length.value === "rest") {
    return more(`{ offset: ${hex(start)}, length: rest }`, [before]);
  }
  const end = offset.value + length.value;
  const last = end + (page - end % page) % page;
  if (sizes.some((size) => last > size) || last >= QUANTITY_LIMIT) {
    return "choose other bytes: the whole pages around these do not lie in the BAR";
  }
  const whole = `{ offset: ${hex(start)}, length: ${hex(last - start)} }`;
  return more(whole, [before, { start: end, end: last }]);
}

function more(whole: string, besides: readonly Interval[]): string {
  const ranges = besides.filter(({ start, end }) => start < end)
    .map(({ start, end }) => `[${hex(start)}, ${hex(end)})`);
  return `the whole pages around it are ${whole}: write that only if the importer may have ${
    ranges.join(" and ")
  } too`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function checkExtent({ offset, length }: SliceDraft, report: Report): void {
  if (typeof length?.value !== "bigint") return;
  if (length.value === 0n) report("BG1403", length.at, "Cannot accept a slice of length zero");
  const end = (offset?.value ?? 0n) + length.value;
  if (end > QUANTITY_LIMIT) {
    const message = `Cannot accept a slice that ends past 64 bits (its end would be ${hex(end)})`;
    report("BG1404", length.at, message);
  }
}

function checkApart(slices: readonly SliceRule[], report: Report): void {
  for (const [first, second] of findOverlaps(slices.map(intervalOf))) {
    const [a, b] = [slices[first], slices[second]];
    if (a === undefined || b === undefined) continue;
    const message = `Cannot put bytes into one buffer twice: the slice overlaps ${
      describe(a)
    } (received ${describe(b)})`;
    report("BG1405", b.at, message, { related: [related(a.at, "overlaps this slice")] });
  }
}

function describe({ offset, length }: SliceRule): string {
  return length === "rest"
    ? `[${hex(offset)}, end of the BAR)`
    : `[${hex(offset)}, ${hex(offset + length)})`;
}
