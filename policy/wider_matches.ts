/**
 * Matches that are implied by another one, found without a look at every pair.
 *
 * @module
 */
import { implies, type MatchFields } from "./match_implies.ts";

/** A match, and what is known of it. */
interface Entry<T> {
  readonly match: MatchFields;
  readonly value: T;
}

type Value = string | number | bigint;

/** A field of a match, and under which values a wider match of one of its own would be. */
interface Trait {
  readonly of: (match: MatchFields) => readonly Value[] | undefined;
  readonly wider: (value: Value) => readonly Value[];
}

const BARS = [0, 1, 2, 3, 4, 5] as const;

const itself = (value: Value) => [value];

const TRAITS: readonly Trait[] = [
  { of: ({ address }) => address, wider: itself },
  { of: ({ serial }) => serial, wider: itself },
  { of: ({ id }) => id, wider: itself },
  { of: ({ subsystem }) => subsystem, wider: itself },
  { of: ({ driver }) => driver, wider: itself },
  { of: ({ iommuGroup }) => iommuGroup, wider: itself },
  { of: ({ numaNode }) => numaNode, wider: itself },
  { of: (match) => match.class, wider: prefixes },
  ...BARS.map((bar): Trait => ({ of: ({ barSizes }) => barSizes?.get(bar), wider: itself })),
];

/** So many entries are worth shelves; fewer are looked at one by one in less time. */
const WORTH = 16;

/** Entries that name one value; with shelves of their own, once they have been looked for. */
interface Shelf<T> {
  readonly entries: Entry<T>[];
  layer?: Layer<T>;
}

/** Entries, each on the shelves of one of its traits only: that with the rarest value. */
class Layer<T> {
  readonly #traits: readonly Trait[];
  readonly #shelves = new Map<Trait, Map<Value, Shelf<T>>>();
  /** Those that name none of the traits. */
  readonly #others: Entry<T>[] = [];

  /** @param traits those by which the entries may yet be told apart */
  constructor(entries: readonly Entry<T>[], traits: readonly Trait[]) {
    this.#traits = traits;
    const counts = traits.map((trait) => [trait, countsOf(entries, trait)] as const);
    for (const entry of entries) {
      const trait = rarestTrait(entry, counts);
      if (trait === undefined) this.#others.push(entry);
      else this.#put(entry, trait);
    }
  }

  #put(entry: Entry<T>, trait: Trait): void {
    const shelves = this.#shelves.get(trait) ?? new Map<Value, Shelf<T>>();
    this.#shelves.set(trait, shelves);
    for (const value of new Set(trait.of(entry.match))) {
      const shelf = shelves.get(value);
      if (shelf === undefined) shelves.set(value, { entries: [entry] });
      else shelf.entries.push(entry);
    }
  }

  /** @param found takes all that may be wider than the match */
  collect(match: MatchFields, found: Set<Entry<T>>): void {
    for (const entry of this.#others) found.add(entry);
    for (const [trait, shelves] of this.#shelves) {
      for (const shelf of fewest(trait, shelves, match)) {
        if (shelf.entries.length < WORTH) shelf.entries.forEach((entry) => found.add(entry));
        else this.#layerOf(shelf, trait).collect(match, found);
      }
    }
  }

  #layerOf(shelf: Shelf<T>, trait: Trait): Layer<T> {
    shelf.layer ??= new Layer(shelf.entries, this.#traits.filter((other) => other !== trait));
    return shelf.layer;
  }
}

/**
 * An index of matches.
 *
 * @example
 * ```ts
 * import { WiderMatches } from "./wider_matches.ts";
 * import assert from "node:assert/strict";
 *
 * const index = new WiderMatches([
 *   { match: { id: ["1b36:0010"] }, value: "card" },
 *   { match: { address: ["0000:04:00.0"] }, value: "other slot" },
 * ]);
 * const match = { id: ["1b36:0010"], address: ["0000:03:00.0"] };
 * assert.deepEqual(index.impliedBy(match), ["card"]);
 * ```
 */
export class WiderMatches<T> {
  readonly #entries: readonly Entry<T>[];
  readonly #layer: Layer<T> | undefined;

  constructor(entries: readonly Entry<T>[]) {
    this.#entries = entries;
    this.#layer = entries.length < WORTH ? undefined : new Layer(entries, TRAITS);
  }

  /** @returns values of the matches that every function with this match has, in any order */
  impliedBy(match: MatchFields): readonly T[] {
    return this.#nearTo(match).filter((entry) => implies(match, entry.match))
      .map(({ value }) => value);
  }

  #nearTo(match: MatchFields): readonly Entry<T>[] {
    if (this.#layer === undefined) return this.#entries;
    const found = new Set<Entry<T>>();
    this.#layer.collect(match, found);
    return [...found];
  }
}

/** How many entries name each value. */
function countsOf(
  entries: readonly Entry<unknown>[],
  { of }: Trait,
): ReadonlyMap<Value, number> {
  const counts = new Map<Value, number>();
  for (const { match } of entries) {
    for (const value of of(match) ?? []) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return counts;
}

/**
 * What is asked for is mostly like what there is: the rarest value is there too, and if not, a common
 * one is.
 *
 * @returns absent where the entry names none of the traits
 */
function rarestTrait(
  { match }: Entry<unknown>,
  traits: readonly (readonly [Trait, ReadonlyMap<Value, number>])[],
): Trait | undefined {
  let best: Trait | undefined;
  let [rarest, commonest] = [Infinity, Infinity];
  for (const [trait, counts] of traits) {
    let [few, many] = [Infinity, 0];
    for (const value of trait.of(match) ?? []) {
      const count = counts.get(value) ?? 0;
      [few, many] = [Math.min(few, count), Math.max(many, count)];
    }
    if (many === 0 || few > rarest || (few === rarest && many >= commonest)) continue;
    [best, rarest, commonest] = [trait, few, many];
  }
  return best;
}

/** A wider match has each value of the narrow one, or a prefix of it: the rarest leaves the fewest. */
function fewest<T>(
  { of, wider }: Trait,
  shelves: ReadonlyMap<Value, Shelf<T>>,
  match: MatchFields,
): readonly Shelf<T>[] {
  let best: readonly Shelf<T>[] = [];
  let least = Infinity;
  for (const value of of(match) ?? []) {
    const found = wider(value).flatMap((each) => shelves.get(each) ?? []);
    const count = found.reduce((sum, { entries }) => sum + entries.length, 0);
    if (count < least) [best, least] = [found, count];
    if (count === 0) break;
  }
  return best;
}

function prefixes(code: Value): readonly Value[] {
  const text = String(code);
  return [2, 4, 6].filter((length) => length <= text.length).map((length) => text.slice(0, length));
}
