/**
 * What two policy sets deny differently, whether or not anything that is allowed lies there. A deny
 * that nothing reaches today is there for the rule that somebody writes tomorrow.
 *
 * @module
 */
import { DeniedBytes } from "./denied_bytes.ts";
import { deviceKey } from "./device_key.ts";
import { Allowed } from "./diff_holdings.ts";
import { intersect, type Interval, normalized, subtract } from "./interval.ts";
import { atoms } from "./match_atoms.ts";
import type { MatchFields } from "./match_implies.ts";
import { MatchIndex } from "./match_index.ts";
import { mayBeSame } from "./may_be_same.ts";
import type { DenyRule, PolicySet } from "./model.ts";
import { intervalOf } from "./slices.ts";

/** Bytes of one BAR that are denied by one set and not by the other. */
export interface DenyDifference {
  /**
   * `removed`: nothing of what was denied of the BAR is; `narrowed`: a part of it is; `added` and
   * `widened`: the same the other way round.
   */
  readonly kind: "removed" | "narrowed" | "widened" | "added";
  /** `policy/device` */
  readonly device: string;
  readonly bar: number;
  readonly bytes: readonly Interval[];
  /** Of the denies that say so, each once. */
  readonly reasons: readonly string[];
  /**
   * Of what is denied no more: devices, as `policy/device`, of rules of the new set that allow some
   * of it, if they are the same function.
   */
  readonly reachedBy?: readonly string[];
}

/**
 * Compares the denies of two policy sets by their meaning. A deny that others replace, by the same
 * match or wider ones, is no difference.
 *
 * @returns what is denied no more, then what is denied anew; each in order of devices and BARs
 */
export function diffDenies(before: PolicySet, after: PolicySet): readonly DenyDifference[] {
  const [old, now] = [new DeniedBytes(before), new DeniedBytes(after)];
  const [lost, gained] = [missing(before, old, now), missing(after, now, old)];
  const reach = lost.length === 0 ? undefined : new Reach(after);
  return [
    ...lost.map(({ match, isWhole, ...told }): DenyDifference => ({
      kind: isWhole ? "removed" : "narrowed",
      ...told,
      reachedBy: reach?.of(match, told.bar, told.bytes) ?? [],
    })),
    ...gained.map(({ match: _, isWhole, ...told }): DenyDifference => ({
      kind: isWhole ? "added" : "widened",
      ...told,
    })),
  ];
}

/** What one set denies of the functions of a match and the other does not. */
interface Missing extends Pick<DenyDifference, "device" | "bar" | "bytes" | "reasons"> {
  readonly match: MatchFields;
  /** Whether the other denies nothing of what the one does of this BAR. */
  readonly isWhole: boolean;
}

function missing(set: PolicySet, from: DeniedBytes, to: DeniedBytes): readonly Missing[] {
  const entries = [...from.byKey].sort(([, a], [, b]) => a.name < b.name ? -1 : 1);
  const reasons = new Map<string, readonly DenyRule[]>();
  return entries.flatMap(([key, { match, name, bars }]) => {
    // What is denied of each value of a list by a match of its own is denied of the list.
    const kinds = atoms(match);
    return bars.flatMap((denied, bar): readonly Missing[] => {
      if (denied.length === 0) return [];
      const others = kinds.map((kind) => to.of(kind, bar));
      const bytes = normalized(others.flatMap((other) => subtract(denied, other)));
      if (bytes.length === 0) return [];
      if (reasons.size === 0) rulesByKey(set).forEach((rules, of) => reasons.set(of, rules));
      const isWhole = others.every((other) => intersect(denied, other).length === 0);
      const why = reasonsOf(reasons.get(key) ?? [], bar, bytes);
      return [{ match, device: name, bar, bytes, reasons: why, isWhole }];
    });
  });
}

function rulesByKey({ policies }: PolicySet): ReadonlyMap<string, readonly DenyRule[]> {
  const rules = policies.flatMap(({ devices, deny }) =>
    deny.flatMap((rule) => {
      const match = devices.get(rule.device.value)?.match;
      return match === undefined ? [] : [{ key: deviceKey(match), rule }];
    })
  );
  const byKey = Map.groupBy(rules, ({ key }) => key);
  return new Map([...byKey].map(([key, list]) => [key, list.map(({ rule }) => rule)]));
}

function reasonsOf(
  rules: readonly DenyRule[],
  bar: number,
  bytes: readonly Interval[],
): readonly string[] {
  const about = rules.filter((rule) =>
    (rule.bar ?? bar) === bar &&
    (rule.slices === undefined ||
      intersect(normalized(rule.slices.map(intervalOf)), bytes).length > 0)
  );
  return [...new Set(about.map(({ reason }) => reason))];
}

/** What a set allows, found by the match of a device that may be the same function. */
class Reach {
  readonly #allowed: Allowed;
  readonly #index: MatchIndex;

  constructor(set: PolicySet) {
    this.#allowed = new Allowed(set);
    this.#index = new MatchIndex(
      [...this.#allowed.holdings].map(([key, { match }]) => ({ key, match })),
    );
  }

  /** @returns devices, as `policy/device`, of rules that allow some of the bytes; in order */
  of(match: MatchFields, bar: number, bytes: readonly Interval[]): readonly string[] {
    const found = this.#index.candidates(match).flat().flatMap(({ key, match: own }) => {
      const holding = this.#allowed.holdings.get(key);
      if (holding?.bar !== bar || !mayBeSame(match, own)) return [];
      const allowed = this.#allowed.bytes(key, "read", holding);
      return intersect(allowed, bytes).length === 0 ? [] : [holding.device];
    });
    return [...new Set(found)].sort();
  }
}
