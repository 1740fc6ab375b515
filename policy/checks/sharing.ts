/**
 * Bytes that more than one grant would reach. Sharing memory between importers must be meant: every
 * rule that takes part says so.
 *
 * @module
 */
import { readSlices, type Report } from "../draft.ts";
import type { Interval } from "../interval.ts";
import type { Placed, SliceRule } from "../model.ts";
import { related } from "../report.ts";
import { intervalOf } from "../slices.ts";
import { allExports, type CheckContext, type ExportInPolicy, keyOfDevice } from "./context.ts";

/** A slice of one rule, with where the rule stands among those of its BAR. */
interface Piece extends Interval {
  readonly slice: SliceRule;
  readonly owner: ExportInPolicy;
  readonly index: number;
}

/** Checks the exports of each BAR together. */
export function checkSharing({ drafts, report }: CheckContext): void {
  for (const rules of byBar(allExports(drafts)).values()) {
    const pieces = sortedPieces(rules);
    const sharing = findSharing(pieces);
    tellUnstated(sharing.unstated, report);
    for (const owner of rules) {
      const [first, second] = knownImporters(owner);
      if (first !== undefined && second !== undefined) tellImporters(owner, first, second, report);
      else if (!sharing.rules.has(owner)) tellPointless(owner, report);
    }
    const told = new Set(sharing.unstated.flatMap(({ a, b }) => [a.owner, b.owner]));
    tellShadowed(rules, pieces, told, report);
  }
}

function byBar(exports: readonly ExportInPolicy[]): ReadonlyMap<string, ExportInPolicy[]> {
  const groups = new Map<string, ExportInPolicy[]>();
  for (const owner of exports) {
    const { policy, rule } = owner;
    const device = keyOfDevice(policy, rule.device);
    if (device === undefined || rule.bar === undefined) continue;
    const key = `${device} ${rule.bar.value}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [owner]);
    else group.push(owner);
  }
  return groups;
}

/** By start; at one start the longest first, then the first written, so that a later one is inside. */
function sortedPieces(rules: readonly ExportInPolicy[]): readonly Piece[] {
  return rules.flatMap((owner, index) =>
    readSlices(owner.rule.slices).map((slice) => ({ ...intervalOf(slice), slice, owner, index }))
  ).filter(({ start, end }) => start < end).sort((a, b) =>
    compare(a.start, b.start) || compare(b.end, a.end) || a.index - b.index
  );
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The two pieces of different rules that reach farthest so far. */
class Reach {
  #first: Piece | undefined;
  #second: Piece | undefined;

  add(piece: Piece): void {
    const first = this.#first;
    if (first === undefined || piece.end > first.end) {
      if (first?.owner !== piece.owner) this.#second = first;
      this.#first = piece;
    } else if (first.owner !== piece.owner) {
      const second = this.#second;
      if (second === undefined || piece.end > second.end) this.#second = piece;
    }
  }

  /** The piece of another rule that reaches farthest. */
  ofOther(owner: ExportInPolicy): Piece | undefined {
    return this.#first?.owner === owner ? this.#second : this.#first;
  }
}

interface Overlap {
  readonly a: Piece;
  readonly b: Piece;
}

interface Sharing {
  /** Overlaps in which a rule takes part that does not say so. */
  readonly unstated: readonly Overlap[];
  /** Rules that overlap another. */
  readonly rules: ReadonlySet<ExportInPolicy>;
}

function findSharing(pieces: readonly Piece[]): Sharing {
  const [all, silent] = [new Reach(), new Reach()];
  const unstated: Overlap[] = [];
  const rules = new Set<ExportInPolicy>();
  for (const b of pieces) {
    const a = all.ofOther(b.owner);
    if (a !== undefined && b.start < a.end) [a, b].forEach(({ owner }) => rules.add(owner));
    // A rule that is silent about sharing may overlap no other; one that speaks, no silent one.
    const wrong = b.owner.rule.shared === undefined ? a : silent.ofOther(b.owner);
    if (wrong !== undefined && b.start < wrong.end) unstated.push({ a: wrong, b });
    all.add(b);
    if (b.owner.rule.shared === undefined) silent.add(b);
  }
  return { unstated, rules };
}

/** Each pair of rules is told once, where it stands later. */
function tellUnstated(overlaps: readonly Overlap[], report: Report): void {
  const told = new Set<string>();
  for (const { a, b } of overlaps) {
    const [first, second] = a.index < b.index ? [a, b] : [b, a];
    const key = `${first.index} ${second.index}`;
    if (told.has(key)) continue;
    told.add(key);
    const message = `Cannot grant bytes twice unasked: ${nameOf(second.owner)} overlaps ${
      nameOf(first.owner)
    }`;
    const place = related(first.slice.at, `granted by ${nameOf(first.owner)}`);
    report("BG1408", second.slice.at, message, { related: [place] });
  }
}

function nameOf({ policy, rule }: ExportInPolicy): string {
  return `${policy.name?.value ?? "this policy"}/${rule.name?.value ?? "this export"}`;
}

/** Those that the policy defines, each once. */
function knownImporters({ policy, rule }: ExportInPolicy): readonly Placed<string>[] {
  const known = rule.importers.filter(({ value }) => policy.importers.has(value));
  return [...new Map(known.toReversed().map((name) => [name.value, name])).values()].reverse();
}

function tellImporters(
  owner: ExportInPolicy,
  first: Placed<string>,
  second: Placed<string>,
  report: Report,
): void {
  if (owner.rule.shared !== undefined) return;
  const message = `Cannot grant bytes twice unasked: ${
    nameOf(owner)
  } gives each of its importers a buffer of the same bytes`;
  const place = related(first.at, "the first importer");
  report("BG1408", second.at, message, { related: [place] });
}

function tellPointless(owner: ExportInPolicy, report: Report): void {
  const { shared } = owner.rule;
  if (shared === undefined || !owner.policy.sound) return;
  report("BG1409", shared.at, `Nothing else grants bytes of ${nameOf(owner)}`);
}

/** A rule is shadowed when each slice is inside one of another rule that gives it to all the same. */
function tellShadowed(
  rules: readonly ExportInPolicy[],
  pieces: readonly Piece[],
  told: ReadonlySet<ExportInPolicy>,
  report: Report,
): void {
  const shadows = findShadows(pieces);
  for (const owner of rules) {
    const shadow = shadows.get(owner);
    if (shadow === undefined || told.has(owner)) continue;
    const message = `${nameOf(owner)} allows nothing that ${nameOf(shadow)} does not allow`;
    const place = related(shadow.rule.at, "allowed here");
    report("BG1309", owner.rule.at, message, { related: [place] });
  }
}

function findShadows(pieces: readonly Piece[]): ReadonlyMap<ExportInPolicy, ExportInPolicy> {
  const reach = new Reach();
  const shadows = new Map<ExportInPolicy, ExportInPolicy>();
  const uncovered = new Set<ExportInPolicy>();
  for (const piece of pieces) {
    const outer = reach.ofOther(piece.owner);
    if (outer !== undefined && outer.end >= piece.end && givesAll(outer.owner, piece.owner)) {
      shadows.set(piece.owner, outer.owner);
    } else {
      uncovered.add(piece.owner);
    }
    reach.add(piece);
  }
  return new Map([...shadows].filter(([owner]) => !uncovered.has(owner)));
}

function givesAll(outer: ExportInPolicy, inner: ExportInPolicy): boolean {
  // Names of importers mean something in their own policy only.
  if (outer.policy !== inner.policy) return false;
  const readOnly = outer.rule.access.value === "read-only";
  if (readOnly && inner.rule.access.value === "read-write") return false;
  const importers = new Set(outer.rule.importers.map(({ value }) => value));
  return inner.rule.importers.every(({ value }) => importers.has(value));
}
