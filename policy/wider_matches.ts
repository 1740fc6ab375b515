/**
 * Matches that are implied by another one, found without a look at every pair.
 *
 * @module
 */
import { implies } from "./match_implies.ts";
import type { DeviceMatch } from "./model.ts";

/** The fields of a match; absent and empty mean the same. */
type MatchFields = Partial<Omit<DeviceMatch, "at">>;

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

/** Matches that name the same fields: by field, by each value that they name. */
interface Family<T> {
  readonly traits: readonly Trait[];
  readonly entries: readonly Entry<T>[];
  readonly shelves: readonly ReadonlyMap<Value, readonly Entry<T>[]>[];
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
  readonly #families: readonly Family<T>[];

  constructor(entries: readonly Entry<T>[]) {
    if (entries.length < WORTH) {
      this.#families = [{ traits: [], entries, shelves: [] }];
      return;
    }
    const byFields = Map.groupBy(entries, ({ match }) => fieldsOf(match).join());
    this.#families = [...byFields.values()].map(familyOf);
  }

  /** @returns values of the matches that every function with this match has, in any order */
  impliedBy(match: MatchFields): readonly T[] {
    return this.#families.flatMap((family) =>
      fewest(family, match).filter((entry) => implies(match, entry.match))
        .map(({ value }) => value)
    );
  }
}

/** Which fields a match names, as positions of {@linkcode TRAITS}. */
function fieldsOf(match: MatchFields): readonly number[] {
  return TRAITS.flatMap(({ of }, index) => (of(match) ?? []).length > 0 ? [index] : []);
}

function familyOf<T>(entries: readonly Entry<T>[]): Family<T> {
  const [first] = entries;
  const traits = first === undefined ? [] : fieldsOf(first.match).flatMap((at) => TRAITS[at] ?? []);
  return { traits, entries, shelves: traits.map(({ of }) => shelve(entries, of)) };
}

function shelve<T>(
  entries: readonly Entry<T>[],
  of: Trait["of"],
): ReadonlyMap<Value, readonly Entry<T>[]> {
  const shelf = new Map<Value, Entry<T>[]>();
  for (const entry of entries) {
    for (const value of new Set(of(entry.match))) {
      const known = shelf.get(value);
      if (known === undefined) shelf.set(value, [entry]);
      else known.push(entry);
    }
  }
  return shelf;
}

/** A wider match has the first value of each field, or a prefix of it: the rarest leaves the fewest. */
function fewest<T>(
  { traits, entries, shelves }: Family<T>,
  match: MatchFields,
): readonly Entry<T>[] {
  let best: readonly (readonly Entry<T>[])[] = [entries];
  for (const [index, { of, wider }] of traits.entries()) {
    const [first] = of(match) ?? [];
    if (first === undefined) return [];
    const lists = wider(first).flatMap((value) => [shelves[index]?.get(value) ?? []]);
    if (count(lists) < count(best)) best = lists;
  }
  return [...new Set(best.flat())];
}

function count(lists: readonly (readonly unknown[])[]): number {
  return lists.reduce((sum, { length }) => sum + length, 0);
}

function prefixes(code: Value): readonly Value[] {
  const text = String(code);
  return [2, 4, 6].filter((length) => length <= text.length).map((length) => text.slice(0, length));
}
