/**
 * Terms that one rule gives at once. Where each of two terms was there before, by two rules, a rule
 * that gives both is more than was there.
 *
 * @module
 */
import { intersect, type Interval, normalized, overlapping, subtract } from "./interval.ts";

/** What is said of one term: the greater the rank, the looser. */
interface Said {
  readonly rank: number;
  readonly text: string;
}

/** What rules with the same terms give. */
interface Offer<Term extends string> {
  readonly says: Readonly<Record<Term, Said>>;
  readonly bytes: readonly Interval[];
}

/** An offer that no other is as loose as in all terms. */
interface Combination {
  /** The terms that tell it from the others, as text. */
  readonly one: string;
  readonly others: string;
  readonly bytes: readonly Interval[];
}

/** Offers named as what there was instead. */
const MOST_NAMED = 4;

/** Bytes with the loosest that is said of each term there, each term for itself. */
export interface Loosest<Term extends string> extends Interval {
  readonly ranks: Readonly<Partial<Record<Term, number>>>;
}

/**
 * Finds what is looser than before in a combination of terms. A term that is looser than any was
 * counts as the loosest that was: it is told by itself.
 *
 * @param terms that count
 * @param before offers
 * @param after offers
 * @param bytes to look at, with the loosest of the offers before; in order, none twice
 */
export function combinations<Term extends string>(
  terms: readonly Term[],
  before: readonly Offer<Term>[],
  after: readonly Offer<Term>[],
  bytes: readonly Loosest<Term>[],
): readonly Combination[] {
  const all = normalized(bytes);
  const ranksOf = ({ says }: Offer<Term>) => terms.map((term) => says[term].rank);
  const withoutAsLoose = (given: readonly Interval[], ranks: readonly number[]) => {
    const as = before.filter((other) =>
      terms.every((term, at) => other.says[term].rank >= (ranks[at] ?? 0))
    );
    return subtract(given, normalized(as.flatMap((other) => other.bytes)));
  };
  return after.flatMap((offer) => {
    const looser = withoutAsLoose(intersect(all, normalized(offer.bytes)), ranksOf(offer));
    const capped = atMost(terms, looser, ranksOf(offer), bytes);
    const rest = normalized(capped.flatMap(({ given, ranks }) => withoutAsLoose(given, ranks)));
    if (rest.length === 0) return [];
    const others = before.filter((other) => intersect(rest, normalized(other.bytes)).length > 0)
      .slice(0, MOST_NAMED);
    const telling = terms.filter((term) =>
      others.some((other) => other.says[term].rank !== offer.says[term].rank)
    );
    const text = ({ says }: Offer<Term>) =>
      `(${telling.map((term) => `${term} ${says[term].text}`).join(", ")})`;
    const names = [...new Set(others.map(text))].join(" or ");
    return [{ one: text(offer), others: names, bytes: rest }];
  });
}

/** Bytes by what is said of them, each term no looser than the loosest that was. */
function atMost<Term extends string>(
  terms: readonly Term[],
  bytes: readonly Interval[],
  ranks: readonly number[],
  loosest: readonly Loosest<Term>[],
): readonly { readonly ranks: readonly number[]; readonly given: readonly Interval[] }[] {
  if (bytes.length === 0) return [];
  const capped = overlapping(bytes, loosest).map(({ start, end, b }) => ({
    start,
    end,
    ranks: terms.map((term, at) => Math.min(ranks[at] ?? 0, b.ranks[term] ?? 0)),
  }));
  const alike = Map.groupBy(capped, (each) => each.ranks.join());
  return [...alike.values()].map((given) => ({
    ranks: given[0]?.ranks ?? ranks,
    given: normalized(given),
  }));
}
