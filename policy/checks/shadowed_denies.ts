/**
 * Denies that deny nothing new: others that hold for the same devices deny all of it.
 *
 * @module
 */
import { type DenyDraft, type PolicyDraft, readSlices } from "../draft.ts";
import { type Interval, IntervalIndex, normalized } from "../interval.ts";
import { comparePlaces } from "../position.ts";
import { QUANTITY_LIMIT } from "../quantity.ts";
import { related } from "../report.ts";
import { type Piece, Reach, sortedPieces } from "../shared_bytes.ts";
import { intervalOf } from "../slices.ts";
import {
  type CheckContext,
  deviceOf,
  keyOf,
  type Matched,
  wholeMatch,
  widerOf,
} from "./context.ts";

/** What one deny takes of one BAR at a stretch. */
type DeniedPiece = Piece<DenyDraft>;

/** Denies of devices with one match. */
interface MatchDenials {
  readonly rules: DenyDraft[];
  /** By BAR; made when asked for. */
  readonly indices: (IntervalIndex<DeniedPiece> | undefined)[];
}

const BARS = [0, 1, 2, 3, 4, 5];
/** Other denies told of one. */
const MOST_TOLD = 4;

/** Checks denies against those of the same or a wider match, in any policy of the set. */
export function checkShadowedDenies({ drafts, report }: CheckContext): void {
  const groups = [...byMatch(drafts).values()];
  const wider = widerOf(groups);
  for (const group of groups) {
    const shadows = shadowsOf(group.value, wider(group));
    for (const rule of group.value.rules) {
      const others = shadows.get(rule);
      if (others === undefined) continue;
      const places = [...others].slice(0, MOST_TOLD)
        .map(({ at, reason }) => related(at, `denied here: ${reason}`));
      const message = `This deny denies nothing that ${
        others.size > 1 ? "others do" : "another does"
      } not deny: ${rule.reason}`;
      report("BG1310", rule.at, message, { related: places });
    }
  }
}

function byMatch(drafts: readonly PolicyDraft[]): ReadonlyMap<string, Matched<MatchDenials>> {
  const groups = new Map<string, Matched<MatchDenials>>();
  for (const draft of drafts) {
    // What could not be read is taken for less or for more.
    if (!draft.sound) continue;
    for (const rule of draft.deny) {
      const device = deviceOf(draft, rule.device);
      if (device === undefined || !isWhole(rule)) continue;
      const key = keyOf(device);
      const group = groups.get(key) ??
        { match: wholeMatch(draft, device), value: { rules: [], indices: [] } };
      groups.set(key, group);
      group.value.rules.push(rule);
    }
  }
  return groups;
}

function isWhole({ slices }: DenyDraft): boolean {
  return slices === undefined || slices.every(({ rule }) => rule !== undefined);
}

/** @returns of each deny that is shadowed, by which others */
function shadowsOf(
  own: MatchDenials,
  wider: readonly MatchDenials[],
): ReadonlyMap<DenyDraft, ReadonlySet<DenyDraft>> {
  const shadows = new Map<DenyDraft, Set<DenyDraft>>();
  const uncovered = new Set<DenyDraft>();
  if (own.rules.length < 2 && wider.length === 0) return shadows;
  for (const bar of BARS) {
    const reach = new Reach<DeniedPiece>();
    for (const piece of sortedPieces(piecesOf(own, bar))) {
      const outer = [reach.ofOther(piece.owner), ...wider.map((wide) => around(wide, bar, piece))]
        .find((each) => each !== undefined && each.end >= piece.end);
      reach.add(piece);
      if (outer === undefined) {
        uncovered.add(piece.owner);
        continue;
      }
      const known = shadows.get(piece.owner) ?? new Set();
      shadows.set(piece.owner, known.add(outer.owner));
    }
  }
  return new Map([...shadows].filter(([rule]) => !uncovered.has(rule)));
}

/** Of the pieces that start before this one, that which reaches farthest. */
function around(wide: MatchDenials, bar: number, { start }: Interval): DeniedPiece | undefined {
  wide.indices[bar] ??= new IntervalIndex(piecesOf(wide, bar));
  return wide.indices[bar]?.farthestFrom(start);
}

function piecesOf({ rules }: MatchDenials, bar: number): readonly DeniedPiece[] {
  return rules.filter((rule) => rule.bar === undefined || rule.bar === bar)
    .toSorted((a, b) => extentOf(b) - extentOf(a) || comparePlaces(a.at, b.at))
    .flatMap((owner, index) =>
      intervalsOf(owner).map((interval) => ({ ...interval, owner, index }))
    );
}

/**
 * Of two that deny the same bytes, that which denies others too goes first: it is not left over. Which
 * of two equal ones is must not hang on the order of the files.
 */
function extentOf({ bar, slices }: DenyDraft): number {
  return bar === undefined ? Number.MAX_SAFE_INTEGER : slices?.length ?? 1;
}

function intervalsOf({ slices }: DenyDraft): readonly Interval[] {
  if (slices === undefined) return [{ start: 0n, end: QUANTITY_LIMIT }];
  return normalized(readSlices(slices).map(intervalOf));
}
