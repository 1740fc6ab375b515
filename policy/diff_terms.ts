/**
 * Terms on which bytes are held: for how long, over a reset or not, and by what they can be taken
 * back. Of several rules that give the same bytes to the same importer, the loosest one counts.
 *
 * @module
 */
import { type Interval, normalized, subtract } from "./interval.ts";
import type { DeviceRule, ExportRule } from "./model.ts";

/** What can be looser or tighter, in the order in which it is told. */
export const TERMS = [
  "expires",
  "grace",
  "onReset",
  "revocation",
  "enableCmb",
  "collateral",
  "shared",
] as const;
/** One of {@linkcode TERMS}. */
export type Term = typeof TERMS[number];

/** What a rule says of a term. */
interface Said {
  /** The greater, the looser. */
  readonly rank: number;
  readonly text: string;
}

/** Bytes that stand under another term than before. */
export interface TermChange {
  /** `changed`: the importer has neither more nor less by it, but what Bargate may do is another thing. */
  readonly kind: "widened" | "narrowed" | "changed";
  readonly term: Term;
  readonly old: string;
  readonly new: string;
  readonly bytes: readonly Interval[];
}

/** `collateral` is about the grants of others, and `shared` allows nothing by itself. */
const NEUTRAL: ReadonlySet<Term> = new Set(["collateral", "shared"]);

const SAYS: Readonly<Record<Term, (rule: ExportRule, device: DeviceRule) => Said>> = {
  expires: ({ expiresMs }) =>
    expiresMs === undefined
      ? { rank: Infinity, text: "never" }
      : { rank: expiresMs, text: `${expiresMs} ms` },
  grace: ({ graceMs }) => ({ rank: graceMs, text: `${graceMs} ms` }),
  onReset: ({ onReset }) => ({ rank: onReset === "restore" ? 1 : 0, text: onReset }),
  revocation: ({ revocation }) => either(revocation, "enforced"),
  enableCmb: (_, { enableCmb }) => either(enableCmb, "false"),
  collateral: ({ collateral }) => either(collateral, "none"),
  shared: ({ shared }) => either(shared, "false"),
};

function either(value: string | true | undefined, absent: string): Said {
  return value === undefined ? { rank: 0, text: absent } : { rank: 1, text: String(value) };
}

/** Terms of the bytes that one importer holds of one BAR. */
export class HeldTerms {
  readonly #bytes = new Map<Term, Map<number, { readonly text: string; list: Interval[] }>>();

  /** @param intervals that the rule gives, before denies */
  add(rule: ExportRule, device: DeviceRule, intervals: readonly Interval[]): void {
    for (const term of TERMS) {
      const { rank, text } = SAYS[term](rule, device);
      const ranks = this.#bytes.get(term) ?? new Map();
      this.#bytes.set(term, ranks);
      const known = ranks.get(rank) ?? { text, list: [] };
      ranks.set(rank, known);
      for (const interval of intervals) known.list.push(interval);
    }
  }

  /** @returns each byte under the loosest of what is said of it */
  of(term: Term): readonly Held[] {
    const ranks = [...this.#bytes.get(term) ?? []].sort(([a], [b]) => a > b ? -1 : 1);
    let covered: readonly Interval[] = [];
    return ranks.map(([rank, { text, list }]) => {
      const bytes = subtract(normalized(list), covered);
      covered = normalized([...covered, ...bytes]);
      return { rank, text, bytes };
    });
  }
}

interface Held extends Said {
  readonly bytes: readonly Interval[];
}

/**
 * Compares terms of bytes that are held before and after.
 *
 * @param old terms before
 * @param now terms after
 * @param kept bytes that are held in both, after denies
 */
export function compareTerms(
  old: HeldTerms,
  now: HeldTerms,
  kept: readonly Interval[],
): readonly TermChange[] {
  return TERMS.flatMap((term) => {
    const after = now.of(term);
    return old.of(term).flatMap((was) =>
      after.filter(({ rank }) => rank !== was.rank).map((is): TermChange => ({
        kind: NEUTRAL.has(term) ? "changed" : is.rank > was.rank ? "widened" : "narrowed",
        term,
        old: was.text,
        new: is.text,
        bytes: both(kept, both(was.bytes, is.bytes)),
      }))
    ).filter(({ bytes }) => bytes.length > 0);
  });
}

function both(a: readonly Interval[], b: readonly Interval[]): readonly Interval[] {
  return subtract(a, subtract(a, b));
}
