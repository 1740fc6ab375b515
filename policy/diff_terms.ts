/**
 * Terms on which bytes are held: for how long, over a reset or not, and by what they can be taken
 * back. Of several rules that give the same bytes to the same importer, the loosest one counts, and
 * what only one of them says at once.
 *
 * @module
 */
import { combinations, type Loosest } from "./diff_combinations.ts";
import { type Level, LEVELS, levelsOf, partsOf } from "./diff_levels.ts";
import { formatDuration } from "./duration.ts";
import { type Interval, normalized, overlapping, subtract } from "./interval.ts";
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
  /** `combination`: each term was said of these bytes before, but not by one rule. */
  readonly term: Term | "combination";
  /** What the importer may do on these terms; absent: all that it may do. */
  readonly level?: Exclude<Level, "read">;
  readonly old: string;
  readonly new: string;
  readonly bytes: readonly Interval[];
}

/** `collateral` is about the grants of others, and `shared` allows nothing by itself. */
const NEUTRAL: ReadonlySet<TermChange["term"]> = new Set(["collateral", "shared"]);

const SAYS: Readonly<Record<Term, (rule: ExportRule, device: DeviceRule) => Said>> = {
  expires: ({ expiresMs }) =>
    expiresMs === undefined
      ? { rank: Infinity, text: "never" }
      : { rank: expiresMs, text: formatDuration(expiresMs) },
  grace: ({ graceMs }) => ({ rank: graceMs, text: formatDuration(graceMs) }),
  onReset: ({ onReset }) => ({ rank: onReset === "restore" ? 1 : 0, text: onReset }),
  revocation: ({ revocation }) => either(revocation, "enforced"),
  enableCmb: (_, { enableCmb }) => either(enableCmb, "false"),
  collateral: ({ collateral }) => either(collateral, "none"),
  shared: ({ shared }) => either(shared, "false"),
};

/** Terms by which an importer has more or less. */
const LOOSER: readonly Term[] = TERMS.filter((term) => !NEUTRAL.has(term));

function either(value: string | true | undefined, absent: string): Said {
  return value === undefined ? { rank: 0, text: absent } : { rank: 1, text: String(value) };
}

/** What one importer is given of one BAR on the same terms. */
interface Offer {
  readonly says: Readonly<Record<Term, Said>>;
  readonly levels: ReadonlySet<Level>;
  readonly bytes: Interval[];
}

/** Terms of the bytes that one importer holds of one BAR. */
export class HeldTerms {
  readonly #offers = new Map<string, Offer>();

  /** @param intervals that the rule gives, before denies */
  add(rule: ExportRule, device: DeviceRule, intervals: readonly Interval[]): void {
    const says = saysOf(rule, device);
    const levels = levelsOf(rule);
    const key = [...TERMS.map((term) => says[term].text), ...levels].join();
    const offer = this.#offers.get(key) ?? { says, levels: new Set(levels), bytes: [] };
    this.#offers.set(key, offer);
    for (const interval of intervals) offer.bytes.push(interval);
  }

  /** @returns what is given with all rights of a level */
  at(level: Level): readonly Offer[] {
    return [...this.#offers.values()].filter(({ levels }) => levels.has(level));
  }
}

function saysOf(rule: ExportRule, device: DeviceRule): Readonly<Record<Term, Said>> {
  return {
    expires: SAYS.expires(rule, device),
    grace: SAYS.grace(rule, device),
    onReset: SAYS.onReset(rule, device),
    revocation: SAYS.revocation(rule, device),
    enableCmb: SAYS.enableCmb(rule, device),
    collateral: SAYS.collateral(rule, device),
    shared: SAYS.shared(rule, device),
  };
}

/** Each byte under the loosest of what is said of it, in order. */
function loosestOf(term: Term, offers: readonly Offer[]): readonly Held[] {
  return loosest(
    offers.flatMap(({ says, bytes }) =>
      bytes.map(({ start, end }) => ({ start, end, said: says[term] }))
    ),
  );
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
 * @param kept bytes that are held with a level in both, after denies
 * @returns of each level what is not so of a part of it too
 */
export function compareTerms(
  old: HeldTerms,
  now: HeldTerms,
  kept: (level: Level) => readonly Interval[],
): readonly TermChange[] {
  const byLevel = new Map<Level, readonly TermChange[]>();
  return LEVELS.flatMap((level) => {
    const [was, is] = [old.at(level), now.at(level)];
    const parts = partsOf(level);
    const alike = parts.some((part) =>
      old.at(part).length === was.length && now.at(part).length === is.length
    );
    if (alike || was.length === 0 || is.length === 0) return [];
    const changes = changesOf(was, is, kept(level));
    byLevel.set(level, changes);
    return withoutTold(changes, parts.flatMap((part) => byLevel.get(part) ?? []))
      .map((change) => level === "read" ? change : { ...change, level });
  });
}

function changesOf(
  was: readonly Offer[],
  is: readonly Offer[],
  kept: readonly Interval[],
): readonly TermChange[] {
  return [
    ...TERMS.flatMap((term) => compareTerm(term, was, is, kept)),
    ...combinations(LOOSER, was, is, loosestTerms(kept, was)).map(({ one, others, bytes }) => ({
      kind: "widened" as const,
      term: "combination" as const,
      old: others,
      new: one,
      bytes,
    })),
    ...combinations(LOOSER, is, was, loosestTerms(kept, is)).map(({ one, others, bytes }) => ({
      kind: "narrowed" as const,
      term: "combination" as const,
      old: one,
      new: others,
      bytes,
    })),
  ];
}

/** The bytes with the loosest that offers say of each term. */
function loosestTerms(
  kept: readonly Interval[],
  offers: readonly Offer[],
): readonly Loosest<Term>[] {
  const none: readonly Loosest<Term>[] = kept.map(({ start, end }) => ({ start, end, ranks: {} }));
  return LOOSER.reduce(
    (list, term) =>
      overlapping(list, loosestOf(term, offers)).map((
        { start, end, a: { ranks }, b: { said } },
      ) => ({
        start,
        end,
        ranks: { ...ranks, [term]: said.rank },
      })),
    none,
  );
}

/** The same of the same bytes that is told of less is not told again, and neutral terms once. */
function withoutTold(
  changes: readonly TermChange[],
  told: readonly TermChange[],
): readonly TermChange[] {
  return changes.flatMap((change) => {
    const same = told.filter((each) =>
      each.kind === change.kind && each.term === change.term &&
      (NEUTRAL.has(each.term) || (each.old === change.old && each.new === change.new))
    );
    const bytes = subtract(change.bytes, normalized(same.flatMap(({ bytes }) => bytes)));
    return bytes.length === 0 ? [] : [{ ...change, bytes }];
  });
}

function compareTerm(
  term: Term,
  old: readonly Offer[],
  now: readonly Offer[],
  kept: readonly Interval[],
): readonly TermChange[] {
  const was = overlapping(kept, loosestOf(term, old)).map(({ start, end, b: { said } }) => ({
    start,
    end,
    said,
  }));
  const changes = overlapping(was, loosestOf(term, now))
    .filter(({ a, b }) => a.said.rank !== b.said.rank);
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
}

/** An absent limit is infinite, and no difference of two such is a number. */
function looserFirst(a: number, b: number): number {
  if (a === b) return 0;
  return a > b ? -1 : 1;
}
