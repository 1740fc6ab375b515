/**
 * Matches of which some function may have both, found without a look at every pair.
 *
 * @module
 */
import { mayBeSame } from "./may_be_same.ts";
import type { DeviceMatch } from "./model.ts";

/** The fields of a match; absent and empty mean the same. */
type MatchFields = Partial<Omit<DeviceMatch, "at">>;

/** A match, and what it is known by. */
export interface IndexedMatch {
  /** Equal for equal matches. */
  readonly key: string;
  readonly match: MatchFields;
}

/** Two matches that both name values here, and none in common, contradict each other. */
type Traits = (match: MatchFields) => readonly (string | number | bigint)[] | undefined;

const BARS = [0, 1, 2, 3, 4, 5] as const;

const TRAITS: readonly Traits[] = [
  ({ address }) => address,
  ({ serial }) => serial,
  ({ id }) => id,
  ({ subsystem }) => subsystem,
  ({ driver }) => driver,
  ({ iommuGroup }) => iommuGroup,
  ({ numaNode }) => numaNode,
  // One class of two is a prefix of the other: they begin alike.
  (match) => match.class?.map((prefix) => prefix.slice(0, 2)),
  ...BARS.map((bar): Traits => ({ barSizes }) => barSizes?.get(bar)),
];

/** So many entries are worth shelves; fewer are looked at one by one in less time. */
const WORTH = 16;

/** Those that name a value, and those that name none. */
interface Shelf {
  readonly byValue: Map<string | number | bigint, IndexedMatch[]>;
  readonly silent: IndexedMatch[];
}

/**
 * An index of matches.
 *
 * @example
 * ```ts
 * import { MatchIndex } from "./match_index.ts";
 *
 * const slot = { key: "slot", match: { address: ["0000:03:00.0"] } };
 * const other = { key: "other", match: { address: ["0000:04:00.0"] } };
 * const card = { key: "card", match: { id: ["144d:a80a"] } };
 * if (new MatchIndex([slot, other]).hasOther(slot)) throw new Error("two slots");
 * if (!new MatchIndex([slot, card]).hasOther(slot)) throw new Error("the card may be there");
 * ```
 */
export class MatchIndex {
  readonly #entries: readonly IndexedMatch[];
  readonly #shelves: readonly Shelf[];

  constructor(entries: readonly IndexedMatch[]) {
    this.#entries = entries;
    this.#shelves = entries.length < WORTH ? [] : TRAITS.map((traits) => shelve(entries, traits));
  }

  /** @returns whether a match of another key could mean the same function */
  hasOther({ key, match }: IndexedMatch): boolean {
    return this.candidates(match).some((lists) =>
      lists.some((other) => other.key !== key && mayBeSame(match, other.match))
    );
  }

  /** @returns lists in which everything is that could mean the same function, and the fewest others */
  candidates(match: MatchFields): readonly (readonly IndexedMatch[])[] {
    let fewest: readonly (readonly IndexedMatch[])[] = [this.#entries];
    for (const [index, { byValue, silent }] of this.#shelves.entries()) {
      const values = new Set(TRAITS[index]?.(match) ?? []);
      if (values.size === 0) continue;
      const lists = [silent, ...[...values].map((value) => byValue.get(value) ?? [])];
      if (count(lists) < count(fewest)) fewest = lists;
    }
    return fewest;
  }
}

function count(lists: readonly (readonly IndexedMatch[])[]): number {
  return lists.reduce((sum, { length }) => sum + length, 0);
}

function shelve(entries: readonly IndexedMatch[], traits: Traits): Shelf {
  const shelf: Shelf = { byValue: new Map(), silent: [] };
  for (const entry of entries) {
    const values = new Set(traits(entry.match) ?? []);
    if (values.size === 0) shelf.silent.push(entry);
    for (const value of values) {
      const list = shelf.byValue.get(value);
      if (list === undefined) shelf.byValue.set(value, [entry]);
      else list.push(entry);
    }
  }
  return shelf;
}
