/**
 * The denies of a policy set as they fall on the functions of a host.
 *
 * @module
 */
import { IntervalIndex } from "../policy/interval.ts";
import type { DenyRule, PolicySet } from "../policy/model.ts";
import type { FunctionIndex } from "./resolve.ts";

/** A deny rule as it falls on one BAR of a real device. */
export interface Denied {
  readonly start: bigint;
  readonly end: bigint;
  readonly rule: DenyRule;
}

/** Beyond every BAR: BARs are less than 2^63 bytes. */
const BAR_END = 1n << 64n;
const BARS = [0, 1, 2, 3, 4, 5];

/** All denies of a set on one host. */
export class Denials {
  readonly #byBar = new Map<string, IntervalIndex<Denied>>();

  /**
   * A deny falls on every function that its device matches, and on those of which nobody can tell:
   * more is safer than less.
   *
   * @param set the policy set
   * @param index of the host's functions
   */
  constructor(set: PolicySet, index: FunctionIndex) {
    const lists = new Map<string, Denied[]>();
    for (const policy of set.policies) {
      for (const rule of policy.deny) {
        const device = policy.devices.get(rule.device.value);
        if (device === undefined) continue;
        const { found, unjudged } = index.matching(device.match);
        for (const { address } of [...found, ...unjudged]) collect(rule, address, lists);
      }
    }
    for (const [key, list] of lists) this.#byBar.set(key, new IntervalIndex(list));
  }

  /** @returns what is denied of one BAR; absent: nothing */
  on(address: string, bar: number): IntervalIndex<Denied> | undefined {
    return this.#byBar.get(barKey(address, bar));
  }
}

function collect(rule: DenyRule, address: string, lists: Map<string, Denied[]>): void {
  for (const bar of rule.bar === undefined ? BARS : [rule.bar]) {
    const key = barKey(address, bar);
    const list = lists.get(key) ?? [];
    list.push(...deniedBy(rule));
    lists.set(key, list);
  }
}

function deniedBy(rule: DenyRule): readonly Denied[] {
  if (rule.slices === undefined) return [{ start: 0n, end: BAR_END, rule }];
  return rule.slices.map((slice) => ({
    start: slice.offset,
    end: slice.length === "rest" ? BAR_END : slice.offset + slice.length,
    rule,
  }));
}

function barKey(address: string, bar: number): string {
  return `${address} ${bar}`;
}
