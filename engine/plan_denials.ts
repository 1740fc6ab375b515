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

/** All denies of a set on one host. */
export class Denials {
  /** By address; of each device once, however many functions it is. */
  readonly #rules = new Map<string, (readonly DenyRule[])[]>();
  readonly #byBar = new Map<string, IntervalIndex<Denied> | undefined>();

  /**
   * A deny falls on every function that its device matches, and on those of which nobody can tell:
   * more is safer than less.
   *
   * @param set the policy set
   * @param index of the host's functions
   */
  constructor(set: PolicySet, index: FunctionIndex) {
    for (const policy of set.policies) {
      for (const [name, rules] of Map.groupBy(policy.deny, ({ device }) => device.value)) {
        const device = policy.devices.get(name);
        if (device === undefined) continue;
        const { found, unjudged } = index.matching(device.match);
        for (const { address } of [...found, ...unjudged]) this.#collect(rules, address);
      }
    }
  }

  /** @returns what is denied of one BAR; absent: nothing */
  on(address: string, bar: number): IntervalIndex<Denied> | undefined {
    const key = `${address} ${bar}`;
    if (!this.#byBar.has(key)) this.#byBar.set(key, this.#indexOf(address, bar));
    return this.#byBar.get(key);
  }

  #collect(rules: readonly DenyRule[], address: string): void {
    const known = this.#rules.get(address);
    if (known === undefined) this.#rules.set(address, [rules]);
    else known.push(rules);
  }

  /** Only of what is asked for: few of many functions are exported from. */
  #indexOf(address: string, bar: number): IntervalIndex<Denied> | undefined {
    const denied = (this.#rules.get(address) ?? []).flat()
      .filter((rule) => rule.bar === undefined || rule.bar === bar)
      .flatMap(deniedBy);
    return denied.length === 0 ? undefined : new IntervalIndex(denied);
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
