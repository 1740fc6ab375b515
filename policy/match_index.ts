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
type Traits = (match: MatchFields) => readonly Value[] | undefined;
type Value = string | number | bigint;

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

/** Matches that name the same fields: by field, by each value that they name. */
interface Family {
  readonly entries: readonly IndexedMatch[];
  readonly shelves: readonly (readonly [Traits, ReadonlyMap<Value, readonly IndexedMatch[]>])[];
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
  readonly #families: readonly Family[];

  constructor(entries: readonly IndexedMatch[]) {
    if (entries.length < WORTH) {
      this.#families = [{ entries, shelves: [] }];
      return;
    }
    const byFields = Map.groupBy(entries, ({ match }) => named(match).map(([at]) => at).join());
    this.#families = [...byFields.values()].map(familyOf);
  }

  /** @returns whether a match of another key could mean the same function */
  hasOther({ key, match }: IndexedMatch): boolean {
    return this.candidates(match).some((lists) =>
      lists.some((other) => other.key !== key && mayBeSame(match, other.match))
    );
  }

  /** @returns lists in which everything is that could mean the same function, and few others */
  candidates(match: MatchFields): readonly (readonly IndexedMatch[])[] {
    return this.#families.flatMap((family) => fewest(family, match));
  }
}

/** The fields that a match names, as positions of {@linkcode TRAITS}. */
function named(match: MatchFields): readonly (readonly [number, Traits])[] {
  return [...TRAITS.entries()].filter(([, traits]) => (traits(match) ?? []).length > 0);
}

function familyOf(entries: readonly IndexedMatch[]): Family {
  const [first] = entries;
  const fields = first === undefined ? [] : named(first.match);
  return { entries, shelves: fields.map(([, traits]) => [traits, shelve(entries, traits)]) };
}

/** By the field of both of which the values leave the fewest. */
function fewest(
  { entries, shelves }: Family,
  match: MatchFields,
): readonly (readonly IndexedMatch[])[] {
  let best: readonly (readonly IndexedMatch[])[] = [entries];
  for (const [traits, byValue] of shelves) {
    const values = new Set(traits(match) ?? []);
    if (values.size === 0) continue;
    const lists = [...values].flatMap((value) => {
      const list = byValue.get(value);
      return list === undefined ? [] : [list];
    });
    if (count(lists) < count(best)) best = lists;
  }
  return best;
}

function count(lists: readonly (readonly IndexedMatch[])[]): number {
  return lists.reduce((sum, { length }) => sum + length, 0);
}

function shelve(
  entries: readonly IndexedMatch[],
  traits: Traits,
): ReadonlyMap<Value, readonly IndexedMatch[]> {
  const byValue = new Map<Value, IndexedMatch[]>();
  for (const entry of entries) {
    for (const value of new Set(traits(entry.match))) {
      const list = byValue.get(value);
      if (list === undefined) byValue.set(value, [entry]);
      else list.push(entry);
    }
  }
  return byValue;
}
