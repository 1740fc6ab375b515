/**
 * Importers' functions by what the kernel would decide of them, so that not each is judged with each
 * exporter. Below one port all that redirect the same are reached the same; and of those that have no
 * bridge in common with the exporter the host bridge and the depth are all that counts.
 *
 * @module
 */
import type { SnapshotFunction } from "../host/snapshot.ts";
import { judgePath, type PathJudgement } from "../host/topology/judge.ts";
import type { PciTree } from "../host/topology/tree.ts";
import { MOST_NAMED } from "../host/topology/words.ts";

/** A function and its place among all that were given. */
export interface Member {
  readonly address: string;
  readonly place: number;
}

/** Functions of one answer. */
export interface JudgedClass {
  /** Of the first of them. */
  readonly judgement: PathJudgement;
  readonly count: number;
  /** The first few, in the order in which they were given. */
  readonly first: readonly Member[];
}

interface Importer extends Member {
  readonly entry: SnapshotFunction;
  /** The highest function on its way up; what shares a bridge with it shares this. */
  readonly top: string;
  /** Class among those that have the same top. */
  readonly near: string;
  /** Class among all others. */
  readonly far: string;
}

/** The functions of one importer. */
export class ImporterClasses {
  /** How many functions there are. */
  readonly count: number;
  readonly #byAddress: ReadonlyMap<string, Importer>;
  readonly #near: ReadonlyMap<string, readonly (readonly Importer[])[]>;
  readonly #far: readonly (readonly Importer[])[];
  /** Those whose ways up are not whole: what they have in common with others cannot be known. */
  readonly #lost: readonly Importer[];

  /**
   * @param tree of the host
   * @param functions that could do the DMA
   */
  constructor(private readonly tree: PciTree, functions: readonly SnapshotFunction[]) {
    const lost: Importer[] = [];
    const whole: Importer[] = [];
    for (const [place, entry] of functions.entries()) {
      const { functions: chain, rootBus } = tree.chain(entry);
      const redirects = (tree.redirects(entry) ?? ["unread"]).join();
      (rootBus === undefined ? lost : whole).push({
        address: entry.address,
        place,
        entry,
        top: chain.at(-1)?.address ?? entry.address,
        near: `${chain[1]?.address ?? entry.address} ${redirects}`,
        far: `${rootBus} ${chain.length}`,
      });
    }
    this.count = functions.length;
    this.#lost = lost;
    this.#byAddress = new Map(whole.map((each) => [each.address, each]));
    this.#far = classesBy(whole, ({ far }) => far);
    const byTop = Map.groupBy(whole, ({ top }) => top);
    this.#near = new Map(
      [...byTop].map(([top, below]) => [top, classesBy(below, ({ near }) => near)]),
    );
  }

  /**
   * Judges all of them with one exporter.
   *
   * @param exporter of the same host
   * @returns the classes, the nearest first
   */
  from(exporter: SnapshotFunction): readonly JudgedClass[] {
    const { functions, rootBus } = this.tree.chain(exporter);
    const top = functions.at(-1)?.address ?? exporter.address;
    // The exporter itself, and bridges above it, are each a case of its own; so is what is lost.
    const above = functions.flatMap(({ address }) => this.#byAddress.get(address) ?? []);
    const single = rootBus === undefined ? [...this.#byAddress.values()] : above;
    const classes: (readonly Importer[])[] = [...single, ...this.#lost].map((each) => [each]);
    if (rootBus !== undefined) {
      const near = this.#near.get(top) ?? [];
      classes.push(...near.map((members) => without(members, (each) => above.includes(each))));
      classes.push(...this.#far.map((members) => without(members, (each) => each.top === top)));
    }
    return classes.flatMap((members) => this.#judged(exporter, members)).sort((a, b) =>
      a.judgement.path.distance - b.judgement.path.distance ||
      (a.first[0]?.place ?? 0) - (b.first[0]?.place ?? 0)
    );
  }

  #judged(exporter: SnapshotFunction, members: readonly Importer[]): readonly JudgedClass[] {
    const [one] = members;
    if (one === undefined) return [];
    const judgement = judgePath(this.tree, exporter, one.entry);
    return [{ judgement, count: members.length, first: members.slice(0, MOST_NAMED) }];
  }
}

function classesBy(
  importers: readonly Importer[],
  keyOf: (importer: Importer) => string,
): readonly (readonly Importer[])[] {
  return [...Map.groupBy(importers, keyOf).values()];
}

/** The list itself, where nothing of it is left out. */
function without(
  members: readonly Importer[],
  isOut: (importer: Importer) => boolean,
): readonly Importer[] {
  return members.some(isOut) ? members.filter((each) => !isOut(each)) : members;
}
