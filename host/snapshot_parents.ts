/**
 * What a snapshot says of the bridges above its functions: they are there, they are bridges, and the
 * way up ends at a root bus, after no more bridges than a domain has buses. Linear in the number of
 * functions.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import { headerType } from "./config_space.ts";
import type { SnapshotFunction } from "./snapshot.ts";
import type { PlacedFunction } from "./snapshot_fields.ts";
import { fieldOf, type Index } from "./snapshot_places.ts";
import type { ProblemSink } from "./snapshot_problem.ts";

/**
 * Bridges above a function at most: a domain has 256 buses, one of which is the root bus, and every
 * bridge has one of the others behind it.
 */
export const MOST_BRIDGES_ABOVE = 255;
/** Class of bridges of all kinds. */
const BRIDGE = "06";
/** Header of a function that is no bridge. */
const NORMAL_HEADER = 0;

/**
 * Checks what is above each function.
 *
 * @param functions in the file's order
 * @param index of the same
 * @param whole whether every function of the file is among them
 * @param problems takes what is wrong
 */
export function checkParents(
  functions: readonly PlacedFunction[],
  index: Index,
  whole: boolean,
  problems: ProblemSink,
): void {
  for (const each of functions) checkParent(each, index, whole, problems);
  checkCycles(functions, index, problems);
  checkDepth(functions, index, problems);
}

function checkParent(
  each: PlacedFunction,
  index: Index,
  whole: boolean,
  problems: ProblemSink,
): void {
  const { address, parent } = each.entry;
  if (!isPciAddress(parent)) return;
  const above = index.get(parent)?.entry;
  if (above === undefined) {
    if (!whole) return;
    const why = `the bridge above is not in the snapshot (received "${parent}")`;
    problems.add("missing-parent", () => ({ ...fieldOf(each, "parent"), why }));
    return;
  }
  const wrong = domainOf(parent) !== domainOf(address)
    ? "what is above a function is in the same PCI domain"
    : isBridge(above)
    ? undefined
    : `what is above a function is a bridge, and this one has class ${above.class}`;
  if (wrong === undefined) return;
  const why = `${wrong} (received "${parent}")`;
  problems.add("bad-parent", () => ({ ...fieldOf(each, "parent"), why }));
}

function domainOf(address: string): string {
  return address.slice(0, address.indexOf(":"));
}

/** By its class or by its header: there are bridges whose class is wrong. */
function isBridge({ class: code, config }: SnapshotFunction): boolean {
  return code.startsWith(BRIDGE) || headerType(config) !== NORMAL_HEADER;
}

/** Each function is walked once: what is above a function that is sound is sound. */
function checkCycles(
  functions: readonly PlacedFunction[],
  index: Index,
  problems: ProblemSink,
): void {
  const done = new Set<PlacedFunction>();
  for (const first of functions) {
    const above = index.get(first.entry.parent);
    if (above === undefined || (above !== first && done.has(above))) {
      done.add(first);
      continue;
    }
    const trail = new Set<PlacedFunction>();
    let each: PlacedFunction | undefined = first;
    while (each !== undefined && !done.has(each) && !trail.has(each)) {
      trail.add(each);
      each = index.get(each.entry.parent);
    }
    if (each !== undefined && trail.has(each)) {
      const why = `the way up from the function leads back to it (received "${each.entry.parent}")`;
      const place = fieldOf(each, "parent");
      problems.add("parent-cycle", () => ({ ...place, why }));
    }
    for (const walked of trail) done.add(walked);
  }
}

/** Told of the first that is too deep, and not of all that is below it. */
function checkDepth(
  functions: readonly PlacedFunction[],
  index: Index,
  problems: ProblemSink,
): void {
  const depths = new Map<PlacedFunction, number>();
  for (const first of functions) {
    const depth = depthOf(first, index, depths);
    if (depth !== MOST_BRIDGES_ABOVE + 1) continue;
    const why =
      `there are more than ${MOST_BRIDGES_ABOVE} bridges above the function, and a PCI domain has no buses for so many (received "${first.entry.parent}")`;
    problems.add("bad-parent", () => ({ ...fieldOf(first, "parent"), why }));
  }
}

/** Walks up to what is known already. What is on a circle counts as if the circle were cut somewhere. */
function depthOf(
  first: PlacedFunction,
  index: Index,
  depths: Map<PlacedFunction, number>,
): number {
  const trail: PlacedFunction[] = [];
  let each: PlacedFunction | undefined = first;
  while (each !== undefined && !depths.has(each)) {
    depths.set(each, 0);
    trail.push(each);
    each = index.get(each.entry.parent);
  }
  let depth = each === undefined ? -1 : depths.get(each) ?? 0;
  for (const walked of trail.reverse()) depths.set(walked, ++depth);
  return depth;
}
