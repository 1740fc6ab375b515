/**
 * "Did you mean …?"
 *
 * @module
 */
import type { Entry, MappingNode, Node, ScalarNode } from "./node.ts";

/** Candidates looked at; more would let a hostile file buy much time with few bytes. */
const MAX_CANDIDATES = 500;

/**
 * Finds the candidate that was most likely meant.
 *
 * @param word what was written
 * @param candidates what would have been right
 * @returns the nearest candidate, absent when none is near
 *
 * @example
 * ```ts
 * import { suggest } from "./suggest.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(suggest("exprots", ["devices", "exports"]), "exports");
 * assert.equal(suggest("zebra", ["devices", "exports"]), undefined);
 * ```
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  // One letter is near to every other letter.
  if (word.length < 2) return undefined;
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  let seen = 0;
  for (const candidate of candidates) {
    if (++seen > MAX_CANDIDATES) break;
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/**
 * Finds the key that was most likely meant. A digit is near to every other, and means another BAR.
 *
 * @param key what was written
 * @param keys those of the mapping
 */
export function suggestKey(key: string, keys: readonly string[]): string | undefined {
  return keys.includes("0") ? /^(?:\+|0[xo])?0*([0-5])$/i.exec(key)?.[1] : suggest(key, keys);
}

/** Of two keys, one is there. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ["region", "slices"],
  ["slices", "region"],
]);

/**
 * The keys that can have been meant by one that a mapping has: not those that contradict another.
 *
 * @param mapping that has it
 * @param keys those of the mapping
 */
export function addable(
  mapping: MappingNode | undefined,
  keys: readonly string[],
): readonly string[] {
  return keys.filter((key) => !mapping?.entries.has(INSTEAD.get(key) ?? ""));
}

/** Keys and words of one tree of which it is known what was meant. */
export class Misspelt {
  readonly #keys = new Map<MappingNode, Map<string, string>>();
  readonly #words = new Map<ScalarNode, string>();

  /**
   * Takes an unknown key.
   *
   * @param keys those that the mapping can have
   * @returns whether it is near to one of them that is missing
   */
  takeKey(mapping: MappingNode, key: string, keys: readonly string[]): boolean {
    const meant = suggestKey(key, addable(mapping, keys));
    if (meant === undefined || mapping.entries.has(meant)) return false;
    const known = this.#keys.get(mapping) ?? new Map<string, string>();
    this.#keys.set(mapping, known);
    // Only one key can be it; an alias brings the same one again.
    if ([...known.values()].includes(meant)) return known.get(key) === meant;
    known.set(key, meant);
    return true;
  }

  /**
   * Takes an unknown word.
   *
   * @param words those that could be there
   * @returns whether it is near to one of them
   */
  takeWord(scalar: ScalarNode, words: readonly string[]): boolean {
    const meant = suggest(scalar.text, words);
    if (meant !== undefined) this.#words.set(scalar, meant);
    return meant !== undefined;
  }

  /** The tree as it was meant, each thing in it at the place where it is written. */
  mended(node: Node): Node {
    switch (node.kind) {
      case "scalar":
        return { ...node, text: this.#words.get(node) ?? node.text };
      case "sequence":
        return { ...node, items: node.items.map((item) => this.mended(item)) };
      case "mapping":
        return { ...node, entries: this.#entries(node) };
    }
  }

  #entries(mapping: MappingNode): ReadonlyMap<string, Entry> {
    const renamed = this.#keys.get(mapping);
    const entries = [...mapping.entries].map(([name, { key, value }]) =>
      [renamed?.get(name) ?? name, { key, value: this.mended(value) }] as const
    );
    return new Map(entries);
  }
}

/** Insertions, deletions, substitutions and swaps of neighbours between two short words. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) row.push(cell(a, b, i, j, row, previous, before));
    [before, previous] = [previous, row];
  }
  return previous[b.length] ?? 0;
}

function cell(
  a: string,
  b: string,
  i: number,
  j: number,
  row: readonly number[],
  previous: readonly number[],
  before: readonly number[],
): number {
  const same = a[i - 1] === b[j - 1] ? 0 : 1;
  const best = Math.min(
    (row[j - 1] ?? 0) + 1,
    (previous[j] ?? 0) + 1,
    (previous[j - 1] ?? 0) + same,
  );
  const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
  return swapped ? Math.min(best, (before[j - 2] ?? 0) + 1) : best;
}
