/**
 * What the parts of a snapshot say of each other: every function once, bridges and physical
 * functions that are there, nodes and BARs that are apart. Linear in the number of functions, but for
 * sorting.
 *
 * @module
 */
import { CONFIG_HEADER_BYTES, configIds } from "./config_space.ts";
import type { SnapshotBar } from "./snapshot.ts";
import type { PlacedFunction, PlacedName, SnapshotDraft } from "./snapshot_fields.ts";
import { checkLeftOut, checkNodes } from "./snapshot_nodes.ts";
import { checkParents } from "./snapshot_parents.ts";
import { fieldOf, type Index, pointerOf } from "./snapshot_places.ts";
import type { ProblemSink, ValuePlace } from "./snapshot_problem.ts";

/** BARs of a function. */
const BARS = 6;

/**
 * Checks a snapshot as a whole.
 *
 * @param draft whose parts are sound, each by itself
 * @param problems takes what is wrong
 */
export function checkSnapshot(
  { functions, names, leftOut, whole }: SnapshotDraft,
  problems: ProblemSink,
): void {
  const byAddress = indexed(functions, problems);
  for (const each of functions) {
    checkPhysfn(each, byAddress, whole, problems);
    checkConfig(each, problems);
    checkIndexes(each, problems);
  }
  checkParents(functions, byAddress, whole, problems);
  checkNodes(functions, problems);
  checkLeftOut(leftOut, byAddress, problems);
  checkOverlaps(functions, problems);
  checkNames(names, byAddress, whole, problems);
}

function indexed(functions: readonly PlacedFunction[], problems: ProblemSink): Index {
  const index = new Map<string, PlacedFunction>();
  for (const each of functions) {
    const { address } = each.entry;
    const first = index.get(address);
    if (first === undefined) index.set(address, each);
    else {
      const why = `the function stands at ${pointerOf(first)} already (received "${address}")`;
      problems.add("duplicate-function", () => ({ ...fieldOf(each, "address"), why }));
    }
  }
  return index;
}

function checkPhysfn(
  each: PlacedFunction,
  index: Index,
  whole: boolean,
  problems: ProblemSink,
): void {
  const { physfn } = each.entry;
  if (physfn === undefined) return;
  const found = index.get(physfn);
  if (found === undefined && !whole) return;
  const why = found === undefined
    ? "the physical function is not in the snapshot"
    : found.entry.physfn !== undefined
    ? "the physical function is a virtual one itself"
    : found.entry.parent !== each.entry.parent
    ? `the physical function is below ${found.entry.parent}, and a virtual one is beside it`
    : undefined;
  if (why === undefined) return;
  problems.add("bad-physfn", () => {
    return { ...fieldOf(each, "physfn"), why: `${why} (received "${physfn}")` };
  });
}

/** A virtual function has no ids of its own in its header, and a function without power none at all. */
function checkConfig(each: PlacedFunction, problems: ProblemSink): void {
  const { entry } = each;
  if (entry.physfn !== undefined || entry.config.length < CONFIG_HEADER_BYTES) return;
  const header = configIds(entry.config);
  if (header.vendor === "ffff") return;
  if (header.vendor === entry.vendor && header.device === entry.device) return;
  const why =
    `its header is that of ${header.vendor}:${header.device}, and the function is ${entry.vendor}:${entry.device}`;
  problems.add("config-of-another", () => ({ ...fieldOf(each, "config"), why }));
}

/** A 64-bit BAR takes its own place and the next. */
function checkIndexes(each: PlacedFunction, problems: ProblemSink): void {
  if (haveTheirPlaces(each.written)) return;
  const taken = new Map<number, SnapshotBar>();
  for (const [at, bar] of each.written.entries()) {
    const places = bar.kind === "memory64" ? [bar.index, bar.index + 1] : [bar.index];
    const other = places.map((place) => taken.get(place)).find((found) => found !== undefined);
    const why = other !== undefined
      ? clash(bar, other)
      : places.includes(BARS)
      ? `BAR ${bar.index} is 64 bits wide and takes two places, and there is none behind it`
      : undefined;
    if (why !== undefined) {
      problems.add("bar-taken", () => {
        return { ...barPlace(each, at), why: `${why} (received index ${bar.index})` };
      });
    }
    for (const place of places) taken.set(place, bar);
  }
}

/** Mostly they have, and then nothing is made to say who has which. */
function haveTheirPlaces(bars: readonly SnapshotBar[]): boolean {
  let taken = 0;
  for (const { index, kind } of bars) {
    const places = (kind === "memory64" ? 0b11 : 0b1) << index;
    if ((taken & places) !== 0 || places >= 1 << BARS) return false;
    taken |= places;
  }
  return true;
}

function clash({ index }: SnapshotBar, other: SnapshotBar): string {
  if (other.index === index) return `BAR ${index} is there already`;
  if (other.index < index) return `BAR ${index} is the upper half of 64-bit BAR ${other.index}`;
  return `BAR ${index} is 64 bits wide, and its upper half is BAR ${other.index}`;
}

/** A BAR with the address space that it lies in. */
interface Stretch {
  /** PCI domain, and whether it is I/O space. */
  readonly space: string;
  readonly bar: SnapshotBar;
  readonly of: PlacedFunction;
  readonly at: number;
}

/**
 * BARs of one domain lie apart. Those of different ones may not: what is behind a volume management
 * device lies in a domain of its own and inside that device's BARs. Start 0: not assigned.
 */
function checkOverlaps(functions: readonly PlacedFunction[], problems: ProblemSink): void {
  const stretches: Stretch[] = [];
  for (const of of functions) {
    const domain = of.entry.address.slice(0, of.entry.address.indexOf(":"));
    for (const [at, bar] of of.written.entries()) {
      if (bar.start === 0n) continue;
      stretches.push({ space: bar.kind === "io" ? `${domain} io` : domain, bar, of, at });
    }
  }
  stretches.sort(inOrder);
  let farthest: Stretch | undefined;
  for (const each of stretches) {
    const inside = farthest !== undefined && farthest.space === each.space;
    if (inside && farthest !== undefined && endOf(farthest.bar) > each.bar.start) {
      const why = `it overlaps BAR ${farthest.bar.index} of ${farthest.of.entry.address}, ${
        range(farthest.bar)
      } (received ${range(each.bar)})`;
      problems.add("bar-overlap", () => ({ ...barPlace(each.of, each.at), why }));
    }
    if (farthest === undefined || !inside || endOf(each.bar) > endOf(farthest.bar)) farthest = each;
  }
}

function inOrder(a: Stretch, b: Stretch): number {
  if (a.space !== b.space) return a.space < b.space ? -1 : 1;
  if (a.bar.start !== b.bar.start) return a.bar.start < b.bar.start ? -1 : 1;
  return 0;
}

function endOf({ start, size }: SnapshotBar): bigint {
  return start + size;
}

function range(bar: SnapshotBar): string {
  return `0x${bar.start.toString(16)} to 0x${endOf(bar).toString(16)}`;
}

/** A name is of one device of its kind, and its function is there. */
function checkNames(
  names: readonly PlacedName[],
  index: Index,
  whole: boolean,
  problems: ProblemSink,
): void {
  const seen = new Set<string>();
  for (const { kind, entry, index: at, fields } of names) {
    const pointer = `/${kind}/${at}`;
    const { name, function: address } = entry;
    if (seen.has(`${kind} ${name}`)) {
      const why = `another device of the kind has this name (received ${JSON.stringify(name)})`;
      problems.add("bad-name", () => ({ pointer: `${pointer}/name`, offset: fields.name, why }));
    }
    seen.add(`${kind} ${name}`);
    if (!whole || address === undefined || index.has(address)) continue;
    const why = `the function is not in the snapshot (received "${address}")`;
    problems.add("bad-name", () => {
      return { pointer: `${pointer}/function`, offset: fields.function, why };
    });
  }
}

function barPlace(each: PlacedFunction, at: number): ValuePlace {
  return { pointer: `${pointerOf(each)}/bars/${at}`, offset: each.bars[at] ?? 0 };
}
