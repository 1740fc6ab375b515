/**
 * Exports that a deny of the same set touches: they could never be made.
 *
 * @module
 */
import { type DenyDraft, type PolicyDraft, readSlices } from "../draft.ts";
import { type Interval, IntervalIndex } from "../interval.ts";
import type { SliceRule } from "../model.ts";
import type { Span } from "../position.ts";
import { QUANTITY_LIMIT } from "../quantity.ts";
import { related } from "../report.ts";
import { intervalOf } from "../slices.ts";
import { allExports, type CheckContext, type ExportInPolicy, keyOfDevice } from "./context.ts";

interface Denied extends Interval {
  readonly at: Span;
  readonly reason: string;
}

/** Places told of one export that is denied. */
const MAX_PLACES = 8;
const BARS = [0, 1, 2, 3, 4, 5];

/** Checks exports against denies of the same device, in any policy of the set. */
export function checkDenied(context: CheckContext): void {
  const indices = denyIndices(context.drafts);
  if (indices.size === 0) return;
  for (const found of allExports(context.drafts)) {
    const { policy, rule } = found;
    const index = indices.get(`${keyOfDevice(policy, rule.device)} ${rule.bar?.value}`);
    if (index !== undefined) checkExport(found, index, context);
  }
}

function checkExport(
  { rule }: ExportInPolicy,
  index: IntervalIndex<Denied>,
  context: CheckContext,
): void {
  const slices = rule.region?.value === "nvme.cmb"
    ? [{ offset: 0n, length: "rest" as const, at: rule.region.at }]
    : readSlices(rule.slices);
  const found = slices.flatMap((slice) => {
    const { start, end } = intervalOf(slice);
    const denied = index.overlapping(start, end);
    return denied === undefined ? [] : [{ slice, denied, cover: index.cover(start, end) }];
  });
  if (found.length === rule.slices.length && found.every(({ cover }) => cover !== undefined)) {
    const places = [...new Set(found.flatMap(({ cover }) => cover ?? []))].slice(0, MAX_PLACES);
    const reasons = [...new Set(places.map(({ reason }) => reason))].join("; ");
    const message = `Cannot export anything of ${
      rule.name?.value ?? "this export"
    }: all of it is denied: ${reasons}`;
    context.report("BG1407", rule.at, message, {
      related: places.map(({ at }) => related(at, "denied here")),
    });
    return;
  }
  // Whether a deny of a part hits the region is seen on the host only.
  if (rule.region?.value === "nvme.cmb") return;
  for (const { slice, denied } of found) {
    const message = `Cannot export a slice that is denied: ${denied.reason}`;
    const place = related(denied.at, "denied here");
    context.report("BG1406", slice.at, message, { related: [place] });
  }
}

function denyIndices(drafts: readonly PolicyDraft[]): ReadonlyMap<string, IntervalIndex<Denied>> {
  const byBar = new Map<string, Denied[]>();
  for (const draft of drafts) {
    for (const rule of draft.deny) collect(draft, rule, byBar);
  }
  return new Map([...byBar].map(([key, denied]) => [key, new IntervalIndex(denied)]));
}

function collect(draft: PolicyDraft, rule: DenyDraft, byBar: Map<string, Denied[]>): void {
  const device = keyOfDevice(draft, rule.device);
  if (device === undefined) return;
  const denied = rule.slices === undefined
    ? [wholeBar(rule)]
    : readSlices(rule.slices).map((slice) => deniedSlice(slice, rule));
  for (const bar of rule.bar === undefined ? BARS : [rule.bar]) {
    const key = `${device} ${bar}`;
    const known = byBar.get(key);
    if (known === undefined) byBar.set(key, [...denied]);
    else for (const one of denied) known.push(one);
  }
}

function deniedSlice(slice: SliceRule, { reason }: DenyDraft): Denied {
  return { ...intervalOf(slice), at: slice.at, reason };
}

function wholeBar({ at, reason }: DenyDraft): Denied {
  return { start: 0n, end: QUANTITY_LIMIT, at, reason };
}
