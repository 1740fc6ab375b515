/**
 * The denies of a policy set as they fall on the functions of a host.
 *
 * @module
 */
import { IntervalIndex } from "../policy/interval.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DenyRule, DeviceMatch, DeviceRule, PolicySet } from "../policy/model.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import { idOf, mismatches, whyUnjudged } from "./match_fields.ts";
import type { FunctionIndex } from "./resolve.ts";

/** A deny rule as it falls on one BAR of a real device. */
export interface Denied {
  readonly start: bigint;
  readonly end: bigint;
  readonly rule: DenyRule;
  /** Why it is not certain that the rule means this function; absent: it does. */
  readonly doubt?: string;
}

/** Rules that fall on a function. */
interface Fallen {
  readonly rules: readonly DenyRule[];
  readonly doubt?: string;
}

/** Denies of a device that no function of the host is. */
interface Missed {
  readonly policy: string;
  readonly device: DeviceRule;
  readonly rules: readonly DenyRule[];
}

/** Denies of a device that is nothing to a host. */
export interface InertDeny {
  /** `policy/device` */
  readonly device: string;
  readonly match: DeviceMatch;
  readonly rules: readonly DenyRule[];
}

/** Functions told that lack something. */
const MOST_TOLD = 4;

/** Beyond every BAR: BARs are less than 2^63 bytes. */
const BAR_END = 1n << 64n;

/** All denies of a set on one host. */
export class Denials {
  /** By address; of each device once, however many functions it is. */
  readonly #rules = new Map<string, Fallen[]>();
  readonly #missed: Missed[] = [];
  readonly #byBar = new Map<string, IntervalIndex<Denied> | undefined>();

  /**
   * A deny falls on every function that its device matches, and on those of which nobody can tell:
   * more is safer than less.
   *
   * @param set the policy set
   * @param index of the host's functions
   */
  constructor(set: PolicySet, private readonly index: FunctionIndex) {
    for (const policy of set.policies) {
      for (const [name, rules] of Map.groupBy(policy.deny, ({ device }) => device.value)) {
        const device = policy.devices.get(name);
        if (device === undefined) continue;
        const { found, unjudged } = index.matching(device.match);
        for (const { address } of found) this.#collect(address, { rules });
        for (const entry of unjudged) {
          this.#collect(entry.address, { rules, doubt: whyUnjudged(entry, device.match) });
        }
        if (found.length === 0 && unjudged.length === 0) {
          this.#missed.push({ policy: policy.name, device, rules });
        }
      }
    }
  }

  /**
   * Denies that fall on nothing here although the host has such a device: a card that was moved or
   * replaced is no longer guarded. Where the host has none of the kind the rule is for other hosts.
   *
   * @returns a warning for each device of a policy
   */
  missed(): readonly Finding[] {
    return this.#missed.flatMap((missed) => {
      const like = this.index.ofKind(missed.device.match);
      return like.length === 0 ? [] : [missedFinding(missed, like)];
    });
  }

  /** @returns the denies of devices of which the host has not even the kind */
  inert(): readonly InertDeny[] {
    return this.#missed.filter(({ device }) => this.index.ofKind(device.match).length === 0)
      .map(({ policy, device, rules }) => ({
        device: `${policy}/${device.name}`,
        match: device.match,
        rules,
      }));
  }

  /** @returns what is denied of one BAR; absent: nothing */
  on(address: string, bar: number): IntervalIndex<Denied> | undefined {
    const key = `${address} ${bar}`;
    if (!this.#byBar.has(key)) this.#byBar.set(key, this.#indexOf(address, bar));
    return this.#byBar.get(key);
  }

  #collect(address: string, fallen: Fallen): void {
    const known = this.#rules.get(address);
    if (known === undefined) this.#rules.set(address, [fallen]);
    else known.push(fallen);
  }

  /** Only of what is asked for: few of many functions are exported from. */
  #indexOf(address: string, bar: number): IntervalIndex<Denied> | undefined {
    const denied = (this.#rules.get(address) ?? []).flatMap(({ rules, doubt }) =>
      rules.filter((rule) => rule.bar === undefined || rule.bar === bar)
        .flatMap((rule) => deniedBy(rule, doubt))
    );
    return denied.length === 0 ? undefined : new IntervalIndex(denied);
  }
}

function missedFinding(
  { policy, device: { name, match }, rules }: Missed,
  like: readonly SnapshotFunction[],
): Finding {
  const [first, ...others] = rules;
  const near = like.map((entry) => ({ entry, lacks: mismatches(entry, match) }))
    .toSorted((a, b) => a.lacks.length - b.lacks.length);
  const told = near.slice(0, MOST_TOLD).map(({ entry, lacks }) =>
    `${entry.address} is ${idOf(entry)}, class ${entry.class}, and fits but for its ${
      lacks.map(({ field, has }) => `${field} (${has})`).join(", ")
    }`
  );
  const more = near.length > told.length ? `; and ${near.length - told.length} more` : "";
  const message = `the deny falls on nothing here: no PCI function of the host is device ${
    JSON.stringify(`${policy}/${name}`)
  }: ${told.join("; ")}${more}`;
  return hostFinding("BG2050", first?.at, message, [
    ...others.slice(0, MOST_TOLD).map(({ at }) => ({ ...at, message: "and this deny" })),
    { ...match.at, message: "what the device is" },
  ]);
}

function deniedBy(rule: DenyRule, doubt: string | undefined): readonly Denied[] {
  const of = { rule, ...(doubt === undefined ? {} : { doubt }) };
  if (rule.slices === undefined) return [{ start: 0n, end: BAR_END, ...of }];
  return rule.slices.map((slice) => ({
    start: slice.offset,
    end: slice.length === "rest" ? BAR_END : slice.offset + slice.length,
    ...of,
  }));
}
