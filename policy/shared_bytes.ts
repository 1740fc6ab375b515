/**
 * Bytes that more than one rule grants, in a single pass over the slices of one BAR.
 *
 * @module
 */
import type { Interval } from "./interval.ts";

/** A slice of one rule. */
export interface Piece<Rule> extends Interval {
  readonly owner: Rule;
  /** Where the rule stands among those of its BAR. */
  readonly index: number;
}

/** Two slices of different rules that have bytes in common. */
export interface Overlap<P> {
  readonly a: P;
  readonly b: P;
}

/** What is shared on one BAR. */
export interface Sharing<P extends Piece<unknown>> {
  /** Overlaps in which a rule takes part that does not say so; for each slice at most one. */
  readonly unstated: readonly Overlap<P>[];
  /** Rules that overlap another. */
  readonly rules: ReadonlySet<P["owner"]>;
}

/**
 * Puts the slices of one BAR in the order that {@linkcode findSharing} wants.
 *
 * @param pieces in any order; empty ones are left out
 * @returns by start; at one start the longest first, then the first written, so that a later one is
 * inside
 */
export function sortedPieces<P extends Piece<unknown>>(pieces: readonly P[]): readonly P[] {
  return pieces.filter(({ start, end }) => start < end).sort((a, b) =>
    compare(a.start, b.start) || compare(b.end, a.end) || a.index - b.index
  );
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Finds what is granted more than once. A rule that is silent about sharing may overlap no other; one
 * that speaks, no silent one.
 *
 * @param pieces from {@linkcode sortedPieces}
 * @param speaks whether a rule says that it shares
 *
 * @example
 * ```ts
 * import { findSharing } from "./shared_bytes.ts";
 *
 * const pieces = [
 *   { owner: "a", index: 0, start: 0n, end: 8n },
 *   { owner: "b", index: 1, start: 4n, end: 12n },
 * ];
 * if (findSharing(pieces, () => true).unstated.length !== 0) throw new Error("both say so");
 * if (findSharing(pieces, (rule) => rule === "a").unstated.length !== 1) throw new Error("b does not");
 * ```
 */
export function findSharing<P extends Piece<unknown>>(
  pieces: readonly P[],
  speaks: (rule: P["owner"]) => boolean,
): Sharing<P> {
  const [all, silent] = [new Reach<P>(), new Reach<P>()];
  const unstated: Overlap<P>[] = [];
  const rules = new Set<P["owner"]>();
  for (const b of pieces) {
    const a = all.ofOther(b.owner);
    if (a !== undefined && b.start < a.end) [a, b].forEach(({ owner }) => rules.add(owner));
    const wrong = speaks(b.owner) ? silent.ofOther(b.owner) : a;
    if (wrong !== undefined && b.start < wrong.end) unstated.push({ a: wrong, b });
    all.add(b);
    if (!speaks(b.owner)) silent.add(b);
  }
  return { unstated, rules };
}

/** The two pieces of different rules that reach farthest so far. */
export class Reach<P extends Piece<unknown>> {
  #first: P | undefined;
  #second: P | undefined;

  add(piece: P): void {
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
  ofOther(owner: P["owner"]): P | undefined {
    return this.#first?.owner === owner ? this.#second : this.#first;
  }
}
