/**
 * Bytes that more than one grant would reach. Sharing memory between importers must be meant: every
 * rule that takes part says so.
 *
 * @module
 */
import { readSlices, type Report } from "../draft.ts";
import type { Placed, SliceRule } from "../model.ts";
import { related } from "../report.ts";
import { findSharing, type Overlap, type Piece, Reach, sortedPieces } from "../shared_bytes.ts";
import { IntervalIndex } from "../interval.ts";
import { intervalOf } from "../slices.ts";
import { type IndexedMatch, MatchIndex } from "../match_index.ts";
import {
  allExports,
  type CheckContext,
  deviceOf,
  type ExportInPolicy,
  keyOf,
  keyOfDevice,
  type Matched,
  wholeMatch,
  widerOf,
} from "./context.ts";

/** An export, and where it stands among all. */
interface NumberedExport extends ExportInPolicy {
  readonly index: number;
}

/** A slice as it is written. */
interface WrittenPiece extends Piece<NumberedExport> {
  readonly slice: SliceRule;
}

function speaks({ rule }: ExportInPolicy): boolean {
  return rule.shared !== undefined || rule.unsure;
}

/** Checks the exports of each BAR together. */
export function checkSharing({ drafts, whole, report }: CheckContext): void {
  const groups = [...byBar(allExports(drafts)).values()];
  const alone = whole ? groupsAlone(groups) : new Set<Group>();
  const withWider = widerGroups(groups);
  for (const rules of groups) {
    const pieces = piecesOf(rules);
    const sharing = findSharing(pieces, speaks);
    tellUnstated([...sharing.unstated, ...withWider(rules, pieces)], report);
    for (const owner of rules) {
      const [first, second] = knownImporters(owner);
      if (first !== undefined && second !== undefined) tellImporters(owner, first, second, report);
      else if (alone.has(rules) && !sharing.rules.has(owner)) tellPointless(owner, report);
    }
    const told = new Set(sharing.unstated.flatMap(({ a, b }) => [a.owner, b.owner]));
    if (sharing.rules.size > 0) {
      const isClear = ({ owner }: WrittenPiece) =>
        sharing.rules.has(owner) && owner.rule.access.value !== "unread";
      tellShadowed(rules, pieces.filter(isClear), told, report);
    }
  }
}

function byBar(exports: readonly ExportInPolicy[]): ReadonlyMap<string, NumberedExport[]> {
  const groups = new Map<string, NumberedExport[]>();
  for (const [index, { policy, rule }] of exports.entries()) {
    const owner = { policy, rule, index };
    const device = keyOfDevice(policy, rule.device);
    if (device === undefined || rule.bar === undefined) continue;
    const key = `${device} ${rule.bar.value}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [owner]);
    else group.push(owner);
  }
  return groups;
}

function piecesOf(rules: readonly NumberedExport[]): readonly WrittenPiece[] {
  return sortedPieces(
    rules.flatMap((owner) =>
      readSlices(owner.rule.slices).map((slice) => ({
        ...intervalOf(slice),
        slice,
        owner,
        index: owner.index,
      }))
    ),
  );
}

type Group = readonly NumberedExport[];

/** Slices of one group, to be asked for what overlaps others. */
class GroupBytes {
  readonly #pieces: readonly WrittenPiece[];
  #all: IntervalIndex<WrittenPiece> | undefined;
  #silent: IntervalIndex<WrittenPiece> | undefined;

  constructor(rules: Group) {
    this.#pieces = piecesOf(rules);
  }

  /** A slice that may not overlap this one of another group. */
  against({ start, end, owner }: WrittenPiece): WrittenPiece | undefined {
    this.#all ??= new IntervalIndex(this.#pieces);
    this.#silent ??= new IntervalIndex(this.#pieces.filter((piece) => !speaks(piece.owner)));
    return (speaks(owner) ? this.#silent : this.#all).overlapping(start, end);
  }
}

/**
 * A function that has a narrower match has the wider one too: the rules of both are about it.
 *
 * @returns for a group, where its slices overlap those of the same BAR by a wider match
 */
function widerGroups(
  groups: readonly Group[],
): (rules: Group, pieces: readonly WrittenPiece[]) => readonly Overlap<WrittenPiece>[] {
  const known = new Map<Group, GroupBytes>();
  const byBar = Map.groupBy(groups, ([first]) => first?.rule.bar?.value);
  const wider = new Map([...byBar].map(([bar, same]) => [bar, widerOf(same.map(matched))]));
  return (rules, pieces) => {
    const wide = wider.get(rules[0]?.rule.bar?.value)?.(matched(rules)) ?? [];
    return wide.flatMap((group) => {
      const other = known.get(group) ?? new GroupBytes(group);
      known.set(group, other);
      return pieces.flatMap((b) => {
        const a = other.against(b);
        return a === undefined ? [] : [{ a, b }];
      });
    });
  };
}

function matched(group: Group): Matched<Group> {
  const [first] = group;
  const device = first && deviceOf(first.policy, first.rule.device);
  return { match: first && device && wholeMatch(first.policy, device), value: group };
}

/** Each pair of rules is told once, where it stands later. */
function tellUnstated(overlaps: readonly Overlap<WrittenPiece>[], report: Report): void {
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
  if (speaks(owner)) return;
  const message = `Cannot grant bytes twice unasked: ${
    nameOf(owner)
  } gives each of its importers a buffer of the same bytes`;
  const place = related(first.at, "the first importer");
  report("BG1408", second.at, message, { related: [place] });
}

function tellPointless(owner: ExportInPolicy, report: Report): void {
  const { shared, region } = owner.rule;
  if (shared === undefined || !owner.policy.sound || region?.value === "nvme.cmb") return;
  // An importer that is unknown may be one to share with.
  if (owner.rule.importers.some(({ value }) => !owner.policy.importers.has(value))) return;
  report("BG1409", shared.at, `Nothing else grants bytes of ${nameOf(owner)}`);
}

/**
 * Where a region is, and which devices are one by another match, is seen on the host only; there
 * sharing must then be stated.
 *
 * @returns groups of which no other could turn out to be the same BAR
 */
function groupsAlone(groups: readonly Group[]): ReadonlySet<Group> {
  const matches = new Map(groups.map((group) => [group, matchOf(group)]));
  const byBar = new Map(
    [...Map.groupBy(groups, ([first]) => first?.rule.bar?.value)].map(([bar, same]) => {
      const known = same.map((group) => matches.get(group)).filter((match) => match !== undefined);
      return [bar, new MatchIndex(known)];
    }),
  );
  return new Set(groups.filter((group) => {
    if (group.some(({ rule }) => rule.region?.value === "nvme.cmb")) return false;
    const match = matches.get(group);
    return match === undefined || !byBar.get(group[0]?.rule.bar?.value)?.hasOther(match);
  }));
}

/** All rules of a group mean devices of one key. */
function matchOf([first]: readonly ExportInPolicy[]): IndexedMatch | undefined {
  const device = first && deviceOf(first.policy, first.rule.device);
  return device?.match && { key: keyOf(device), match: device.match };
}

/** A rule is shadowed when other rules give each slice, within one of theirs, to all the same. */
function tellShadowed(
  rules: readonly NumberedExport[],
  pieces: readonly WrittenPiece[],
  told: ReadonlySet<ExportInPolicy>,
  report: Report,
): void {
  const shadows = findShadows(pieces);
  for (const owner of rules) {
    const outer = [...shadows.get(owner) ?? []];
    if (outer.length === 0 || told.has(owner)) continue;
    const names = outer.slice(0, MOST_NAMED).map(nameOf).join(" or ");
    const rest = outer.length > MOST_NAMED ? ` or ${outer.length - MOST_NAMED} more` : "";
    const verb = outer.length > 1 ? "do" : "does";
    const message = `${nameOf(owner)} allows nothing that ${names}${rest} ${verb} not allow`;
    const places = outer.slice(0, MOST_NAMED).map(({ rule }) => related(rule.at, "allowed here"));
    report("BG1309", owner.rule.at, message, { related: places });
  }
}

/** Rules named in one message. */
const MOST_NAMED = 4;

type Shadows = ReadonlyMap<NumberedExport, ReadonlySet<NumberedExport>>;

function findShadows(pieces: readonly WrittenPiece[]): Shadows {
  const reaches = new Map<string, Reach<WrittenPiece>>();
  const shadows = new Map<NumberedExport, Set<NumberedExport>>();
  const uncovered = new Set<NumberedExport>();
  for (const piece of pieces.toSorted(largestFirst)) {
    const known = shadows.get(piece.owner) ?? new Set();
    shadows.set(piece.owner, known);
    for (const importer of importersOf(piece.owner)) {
      const outer = reaches.get(grantKey(piece.owner, importer, accessOf(piece.owner)))
        ?.ofOther(piece.owner);
      if (outer !== undefined && outer.end >= piece.end) known.add(outer.owner);
      else uncovered.add(piece.owner);
    }
    addReach(piece, reaches);
  }
  return new Map([...shadows].filter(([owner]) => !uncovered.has(owner)));
}

/** Of equal slices that of the rule that gives more, so that what is inside another comes after it. */
function largestFirst(a: WrittenPiece, b: WrittenPiece): number {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.end !== b.end) return a.end > b.end ? -1 : 1;
  const [first, second] = [importersOf(a.owner).size, importersOf(b.owner).size];
  if (first !== second) return second - first;
  const [one, other] = [accessOf(a.owner), accessOf(b.owner)];
  return one === other ? a.index - b.index : one === "read-write" ? -1 : 1;
}

/** Whoever may write may read. */
function addReach(piece: WrittenPiece, reaches: Map<string, Reach<WrittenPiece>>): void {
  const given = accessOf(piece.owner) === "read-write"
    ? ["read-only", "read-write"] as const
    : ["read-only"] as const;
  for (const importer of importersOf(piece.owner)) {
    for (const access of given) {
      const key = grantKey(piece.owner, importer, access);
      const reach = reaches.get(key) ?? new Reach<WrittenPiece>();
      reaches.set(key, reach);
      reach.add(piece);
    }
  }
}

function importersOf({ rule }: ExportInPolicy): ReadonlySet<string> {
  return new Set(rule.importers.map(({ value }) => value));
}

function accessOf({ rule }: ExportInPolicy): "read-only" | "read-write" {
  return rule.access.value === "read-only" ? "read-only" : "read-write";
}

/** Names of importers mean something in their own policy only. */
function grantKey({ policy }: ExportInPolicy, importer: string, access: string): string {
  return `${policy.at.file} ${policy.at.line} ${importer} ${access}`;
}
