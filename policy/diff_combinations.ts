/**
 * Terms that one rule gives at once. Where each of two terms was there before, by two rules, a rule
 * that gives both is more than was there.
 *
 * @module
 */
import { intersect, type Interval, normalized, subtract } from "./interval.ts";

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

/**
 * Finds what is looser than before in a combination of terms.
 *
 * @param terms that count
 * @param before offers
 * @param after offers
 * @param bytes to look at, normalized
 */
export function combinations<Term extends string>(
  terms: readonly Term[],
  before: readonly Offer<Term>[],
  after: readonly Offer<Term>[],
  bytes: readonly Interval[],
): readonly Combination[] {
  if (bytes.length === 0) return [];
  return after.flatMap((offer) => {
    const as = before.filter((other) =>
      terms.every((term) => other.says[term].rank >= offer.says[term].rank)
    );
    const given = intersect(bytes, normalized(offer.bytes));
    const rest = subtract(given, normalized(as.flatMap((other) => other.bytes)));
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
