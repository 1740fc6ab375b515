/**
 * What the denies of a set take of a device, by its match: those that hold on every host, and where
 * two sets deny differently, those that hold on a host where one function has two matches.
 *
 * @module
 */
import { deviceKey } from "./device_key.ts";
import { type Interval, normalized } from "./interval.ts";
import { atoms, common } from "./match_atoms.ts";
import type { MatchFields } from "./match_implies.ts";
import { type IndexedMatch, MatchIndex } from "./match_index.ts";
import type { PolicySet } from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { intervalOf } from "./slices.ts";
import { WiderMatches } from "./wider_matches.ts";

/** Denies of devices with one match. */
interface MatchDenials {
  readonly match: MatchFields;
  /** `policy/device` of the first of them. */
  readonly name: string;
  /** Denied bytes by BAR, normalized. */
  readonly bars: readonly (readonly Interval[])[];
}

const BARS = [0, 1, 2, 3, 4, 5];

/** What a set denies. */
export class DeniedBytes {
  readonly byKey: ReadonlyMap<string, MatchDenials>;
  readonly #wider: WiderMatches<MatchDenials>;
  readonly #known = new Map<string, readonly Interval[]>();

  constructor(set: PolicySet) {
    this.byKey = denials(set);
    this.#wider = new WiderMatches(
      [...this.byKey.values()].map((value) => ({ match: value.match, value })),
    );
  }

  /** @returns bytes that are denied of every function with this match, normalized */
  of(match: MatchFields, bar: number): readonly Interval[] {
    const key = `${deviceKey(match)} ${bar}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const lists = this.#wider.impliedBy(match).flatMap(({ bars }) => [bars[bar] ?? []]);
    const [only = [], another] = lists;
    const bytes = another === undefined ? only : normalized(lists.flat());
    this.#known.set(key, bytes);
    return bytes;
  }
}

/** Functions of a device that denies can tell from its others. */
export interface FunctionKind {
  readonly match: MatchFields;
  /** `policy/device` that those functions are too; absent: nothing is said of them but the device's own match. */
  readonly also?: string;
}

/** Which functions two sets could deny differently. */
export class FunctionKinds {
  readonly #changed: ReadonlyMap<string, MatchDenials>;
  readonly #byBar: readonly MatchIndex[];

  constructor(old: DeniedBytes, now: DeniedBytes) {
    const keys = new Set([...old.byKey.keys(), ...now.byKey.keys()]);
    const changed = new Map<string, MatchDenials>();
    const byBar = BARS.map((): IndexedMatch[] => []);
    for (const key of keys) {
      const [was, is] = [old.byKey.get(key), now.byKey.get(key)];
      const some = is ?? was;
      if (some === undefined) continue;
      const bars = BARS.filter((bar) => !sameBytes(was?.bars[bar], is?.bars[bar]));
      if (bars.length > 0) changed.set(key, some);
      for (const bar of bars) byBar[bar]?.push({ key, match: some.match });
    }
    this.#changed = changed;
    this.#byBar = byBar.map((matches) => new MatchIndex(matches));
  }

  /** @returns kinds of functions with this match: what holds for one of a kind, holds for all */
  of(match: MatchFields, bar: number): readonly FunctionKind[] {
    const own = atoms(match).map((atom): FunctionKind => ({ match: atom }));
    const seen = new Set(own.map((kind) => deviceKey(kind.match)));
    const others = new Set(this.#byBar[bar]?.candidates(match).flat());
    const more = [...others].flatMap((other): readonly FunctionKind[] => {
      const both = common(match, other.match);
      const also = this.#changed.get(other.key)?.name;
      if (both === undefined || also === undefined) return [];
      return atoms(both).map((atom) => ({ match: atom, also }));
    });
    return [...own, ...more.filter((kind) => !seen.has(deviceKey(kind.match)))];
  }
}

function sameBytes(a: readonly Interval[] = [], b: readonly Interval[] = []): boolean {
  return a.length === b.length &&
    a.every(({ start, end }, at) => start === b[at]?.start && end === b[at]?.end);
}

function denials(set: PolicySet): ReadonlyMap<string, MatchDenials> {
  const lists = new Map<string, Omit<MatchDenials, "bars"> & { bars: Interval[][] }>();
  for (const { name, devices, deny } of set.policies) {
    for (const rule of deny) {
      const device = devices.get(rule.device.value);
      if (device === undefined) continue;
      const key = deviceKey(device.match);
      const entry = lists.get(key) ??
        { match: device.match, name: `${name}/${device.name}`, bars: BARS.map(() => []) };
      lists.set(key, entry);
      const intervals = rule.slices?.map(intervalOf) ?? [{ start: 0n, end: QUANTITY_LIMIT }];
      for (const bar of rule.bar === undefined ? BARS : [rule.bar]) {
        for (const interval of intervals) entry.bars[bar]?.push(interval);
      }
    }
  }
  return new Map([...lists].map(([key, { bars, ...entry }]) => [key, {
    ...entry,
    bars: bars.map(normalized),
  }]));
}
