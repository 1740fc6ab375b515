/**
 * What two policy sets allow differently, computed on what they mean: who may have which bytes of
 * which device, after all denies, and on which terms.
 *
 * @module
 */
import { type FunctionKind, FunctionKinds } from "./denied_bytes.ts";
import { Allowed } from "./diff_holdings.ts";
import { type Level, LEVELS, partsOf } from "./diff_levels.ts";
import { compareTerms, type TermChange } from "./diff_terms.ts";
import { intersect, type Interval, normalized, subtract } from "./interval.ts";
import type { PolicySet } from "./model.ts";

/** Bytes of one BAR that one importer is allowed differently. */
export interface Difference {
  /**
   * `gained`: the importer had nothing of the BAR; `widened`: it had less; `narrowed`: it had more;
   * `lost`: it has nothing of it any more.
   */
  readonly kind: "gained" | "lost" | "widened" | "narrowed";
  /** `policy/importer` */
  readonly importer: string;
  /** `policy/device` */
  readonly device: string;
  readonly bar: number;
  readonly level: Level;
  /** Of this region, of which only the host knows where it is in the BAR, what is in the bytes. */
  readonly region?: "nvme.cmb";
  readonly bytes: readonly Interval[];
  /**
   * Devices, as `policy/device`, that the function must be as well: it is so on hosts where it has
   * the match of one of them too. Absent: whichever function it is.
   */
  readonly where?: readonly string[];
}

/** Bytes of one BAR that one importer holds on other terms. */
export type TermDifference =
  & TermChange
  & Pick<Difference, "importer" | "device" | "bar" | "region">;

/**
 * Compares two policy sets.
 *
 * @returns differences in order of names, of each first what is lost; none exactly when no request tells the two apart on any
 * host. A name that stands for somebody else (another identity, another match, another owner that it
 * is borrowed from) is another importer or device. A deny of a device that may be the same function
 * as that of a rule counts where it is: without it more is allowed there
 */
export function diffPolicies(before: PolicySet, after: PolicySet): readonly Difference[] {
  const [old, now] = [new Allowed(before), new Allowed(after)];
  const kinds = new FunctionKinds(old.denied, now.denied);
  const keys = [...new Set([...old.holdings.keys(), ...now.holdings.keys()])].sort();
  const found = keys.flatMap((key) => compare(key, old, now, kinds));
  const places = Map.groupBy(found, ({ importer, device, bar }) => `${importer} ${device} ${bar}`);
  return [...places.values()].flatMap(lessFirst);
}

/**
 * Compares the terms of what both sets allow.
 *
 * @returns differences in order of names
 */
export function diffTerms(before: PolicySet, after: PolicySet): readonly TermDifference[] {
  const [old, now] = [new Allowed(before), new Allowed(after)];
  return [...now.holdings].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([key, is]) => {
    const was = old.holdings.get(key);
    if (was === undefined) return [];
    const { importer, device, bar, region } = is;
    const place = { importer, device, bar, ...(region === undefined ? {} : { region }) };
    const kept = (level: Level) => {
      const [had, has] = [old, now].map((set) => set.bytes(key, level, is));
      return intersect(has ?? [], had ?? []);
    };
    return compareTerms(was.terms, is.terms, kept).map((change) => ({ ...change, ...place }));
  });
}

function compare(key: string, old: Allowed, now: Allowed, all: FunctionKinds): Difference[] {
  const holding = now.holdings.get(key) ?? old.holdings.get(key);
  if (holding === undefined) return [];
  const { importer, device, bar, region, match } = holding;
  const kinds = all.of(match, bar);
  return LEVELS.flatMap((level) => {
    const place = { importer, device, bar, level, ...(region === undefined ? {} : { region }) };
    return [
      ...changes(kinds, (kind) => gain(key, level, old, now, kind), ["gained", "widened"]),
      ...changes(kinds, (kind) => gain(key, level, now, old, kind), ["lost", "narrowed"]),
    ].map(({ kind, bytes, where }) => ({
      kind,
      ...place,
      bytes,
      ...(where.length === 0 ? {} : { where }),
    }));
  });
}

/** A name that stands for somebody else is lost before it is gained, whoever that is. */
function lessFirst(differences: readonly Difference[]): readonly Difference[] {
  const isLess = ({ kind }: Difference) => kind === "lost" || kind === "narrowed";
  return [...differences.filter(isLess), ...differences.filter((each) => !isLess(each))];
}

/** What one set allows on functions of a kind and the other does not. */
interface Gain {
  readonly bytes: readonly Interval[];
  /** Whether the other allows something of the BAR. */
  readonly had: boolean;
}

function gain(key: string, level: Level, from: Allowed, to: Allowed, kind: FunctionKind): Gain {
  const more = (of: Level) => subtract(to.bytes(key, of, kind), from.bytes(key, of, kind));
  // Who has a part of it anew has it anew.
  const told = level.includes("+") ? normalized(partsOf(level).flatMap(more)) : [];
  return { bytes: subtract(more(level), told), had: from.bytes(key, "read", kind).length > 0 };
}

/** First what is so of all functions, then what is so of some only. */
function changes(
  kinds: readonly FunctionKind[],
  gainOf: (kind: FunctionKind) => Gain,
  [first, more]: readonly [Difference["kind"], Difference["kind"]],
): readonly Required<Pick<Difference, "kind" | "bytes" | "where">>[] {
  const own = kinds.filter(({ also }) => also === undefined).map(gainOf);
  const anywhere = normalized(own.flatMap(({ bytes }) => bytes));
  const word = (had: boolean) => had ? more : first;
  const somewhere = kinds.flatMap((kind) => {
    const { bytes, had } = kind.also === undefined ? NO_GAIN : gainOf(kind);
    const rest = subtract(bytes, anywhere);
    if (kind.also === undefined || rest.length === 0) return [];
    return [{ kind: word(had), bytes: rest, also: kind.also }];
  });
  const alike = Map.groupBy(
    somewhere,
    ({ kind, bytes }) => `${kind} ${bytes.map(({ start, end }) => `${start} ${end}`).join()}`,
  );
  const all = { kind: word(own.some(({ had }) => had)), bytes: anywhere, where: [] };
  return [
    ...(anywhere.length === 0 ? [] : [all]),
    ...[...alike.values()].flatMap((same) => {
      const [one] = same;
      const where = [...new Set(same.map(({ also }) => also))].sort();
      return one === undefined ? [] : [{ kind: one.kind, bytes: one.bytes, where }];
    }),
  ];
}

const NO_GAIN: Gain = { bytes: [], had: false };
