/**
 * Exports that a deny of the same set touches: they could never be made.
 *
 * @module
 */
import { type DenyDraft, type MatchDraft, type PolicyDraft, readSlices } from "../draft.ts";
import { coverOf, type Interval, IntervalIndex } from "../interval.ts";
import type { SliceRule } from "../model.ts";
import type { Span } from "../position.ts";
import { QUANTITY_LIMIT } from "../quantity.ts";
import { related } from "../report.ts";
import { intervalOf } from "../slices.ts";
import { WiderMatches } from "../wider_matches.ts";
import {
  allExports,
  type CheckContext,
  deviceOf,
  type ExportInPolicy,
  keyOf,
  wholeMatch,
} from "./context.ts";

interface Denied extends Interval {
  readonly at: Span;
  readonly reason: string;
}

/** Places told of one export that is denied. */
const MAX_PLACES = 8;
const BARS = [0, 1, 2, 3, 4, 5];

/** Denies of devices with one match. */
interface MatchDenials {
  /** Absent where it could not be read as a whole: such a one is wider than no other. */
  readonly match?: MatchDraft;
  /** By BAR. */
  readonly bars: readonly (IntervalIndex<Denied> | undefined)[];
}

/** Checks exports against denies of the same device, in any policy of the set. */
export function checkDenied(context: CheckContext): void {
  const byKey = denialsByKey(context.drafts);
  if (byKey.size === 0) return;
  const wider = new WiderMatches(
    [...byKey.values()].flatMap((value) =>
      value.match === undefined ? [] : [{ match: value.match, value }]
    ),
  );
  for (const found of allExports(context.drafts)) {
    const { policy, rule } = found;
    const device = deviceOf(policy, rule.device);
    if (device === undefined || rule.bar === undefined) continue;
    const match = wholeMatch(policy, device);
    const own = byKey.get(keyOf(device));
    const denials = new Set(match === undefined ? [] : wider.impliedBy(match));
    if (own !== undefined) denials.add(own);
    const { value: bar } = rule.bar;
    const indices = [...denials].flatMap(({ bars }) => bars[bar] ?? []);
    if (indices.length > 0) checkExport(found, indices, context);
  }
}

function checkExport(
  { rule }: ExportInPolicy,
  indices: readonly IntervalIndex<Denied>[],
  context: CheckContext,
): void {
  const slices = rule.region?.value === "nvme.cmb"
    ? [{ offset: 0n, length: "rest" as const, at: rule.region.at }]
    : readSlices(rule.slices);
  const found = slices.flatMap((slice) => {
    const { start, end } = intervalOf(slice);
    const [denied] = indices.flatMap((index) => index.overlapping(start, end) ?? []);
    return denied === undefined ? [] : [{ slice, denied, cover: coverOf(indices, start, end) }];
  });
  if (found.length === 0) return;
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

function denialsByKey(drafts: readonly PolicyDraft[]): ReadonlyMap<string, MatchDenials> {
  const lists = new Map<string, { match: MatchDraft | undefined; bars: Denied[][] }>();
  for (const draft of drafts) {
    for (const rule of draft.deny) {
      const device = deviceOf(draft, rule.device);
      if (device === undefined) continue;
      const key = keyOf(device);
      const entry = lists.get(key) ?? { match: undefined, bars: BARS.map(() => []) };
      lists.set(key, entry);
      entry.match ??= wholeMatch(draft, device);
      collect(rule, entry.bars);
    }
  }
  return new Map([...lists].map(([key, { match, bars }]) => [key, {
    ...(match === undefined ? {} : { match }),
    bars: bars.map((list) => list.length === 0 ? undefined : new IntervalIndex(list)),
  }]));
}

function collect(rule: DenyDraft, byBar: readonly Denied[][]): void {
  const denied = rule.slices === undefined
    ? [wholeBar(rule)]
    : readSlices(rule.slices).map((slice) => deniedSlice(slice, rule));
  for (const bar of rule.bar === undefined ? BARS : [rule.bar]) {
    for (const one of denied) byBar[bar]?.push(one);
  }
}

function deniedSlice(slice: SliceRule, { reason }: DenyDraft): Denied {
  return { ...intervalOf(slice), at: slice.at, reason };
}

function wholeBar({ at, reason }: DenyDraft): Denied {
  return { start: 0n, end: QUANTITY_LIMIT, at, reason };
}
