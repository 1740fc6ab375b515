/**
 * Terms on which bytes are held: for how long, over a reset or not, and by what they can be taken
 * back. Of several rules that give the same bytes to the same importer, the loosest one counts.
 *
 * @module
 */
import { type Interval, normalized } from "./interval.ts";
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
  readonly #held: { readonly rule: ExportRule; readonly device: DeviceRule; at: Interval }[] = [];

  /** @param intervals that the rule gives, before denies */
  add(rule: ExportRule, device: DeviceRule, intervals: readonly Interval[]): void {
    for (const at of intervals) this.#held.push({ rule, device, at });
  }

  /** @returns each byte under the loosest of what is said of it, in order */
  of(term: Term): readonly Held[] {
    return loosest(this.#held.map(({ rule, device, at: { start, end } }) => ({
      start,
      end,
      said: SAYS[term](rule, device),
    })));
  }
}

interface Held extends Interval {
  readonly said: Said;
}

/** The loosest goes first, and what it has covered is passed over by all that follow. */
function loosest(held: readonly Held[]): readonly Held[] {
  const points = [...new Set(held.flatMap(({ start, end }) => [start, end]))].sort((a, b) =>
    a < b ? -1 : 1
  );
  const at = new Map(points.map((point, index) => [point, index]));
  const said = new Array<Said | undefined>(points.length).fill(undefined);
  const free = points.map((_, index) => index);
  const nextFree = (from: number): number => {
    let index = from;
    while (free[index] !== undefined && free[index] !== index) {
      free[index] = free[free[index] ?? index] ?? points.length;
      index = free[index] ?? points.length;
    }
    return index;
  };
  for (const each of held.toSorted((a, b) => looserFirst(a.said.rank, b.said.rank))) {
    const end = at.get(each.end) ?? 0;
    for (let index = nextFree(at.get(each.start) ?? end); index < end; index = nextFree(index)) {
      said[index] = each.said;
      free[index] = index + 1;
    }
  }
  return points.flatMap((start, index) => {
    const [end, mine] = [points[index + 1], said[index]];
    return end === undefined || mine === undefined ? [] : [{ start, end, said: mine }];
  });
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
    const was = overlaps(kept, old.of(term)).map(({ start, end, b: { said } }) => ({
      start,
      end,
      said,
    }));
    const changes = overlaps(was, now.of(term)).filter(({ a, b }) => a.said.rank !== b.said.rank);
    const alike = Map.groupBy(changes, ({ a, b }) => `${a.said.rank} ${b.said.rank}`);
    return [...alike.values()].flatMap((bytes): TermChange[] => {
      const [first] = bytes;
      if (first === undefined) return [];
      const { a: { said: { rank, text } }, b: { said: is } } = first;
      return [{
        kind: NEUTRAL.has(term) ? "changed" : is.rank > rank ? "widened" : "narrowed",
        term,
        old: text,
        new: is.text,
        bytes: normalized(bytes.map(({ start, end }) => ({ start, end }))),
      }];
    });
  });
}

/** An absent limit is infinite, and no difference of two such is a number. */
function looserFirst(a: number, b: number): number {
  if (a === b) return 0;
  return a > b ? -1 : 1;
}

interface Overlap<A, B> extends Interval {
  readonly a: A;
  readonly b: B;
}

/** In one walk over both lists, each of which is in order and does not overlap itself. */
function overlaps<A extends Interval, B extends Interval>(
  first: readonly A[],
  second: readonly B[],
): readonly Overlap<A, B>[] {
  const found: Overlap<A, B>[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined || b === undefined) return found;
    const start = a.start > b.start ? a.start : b.start;
    const end = a.end < b.end ? a.end : b.end;
    if (start < end) found.push({ start, end, a, b });
    if (a.end < b.end) i++;
    else j++;
  }
}
