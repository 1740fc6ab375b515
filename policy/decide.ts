/**
 * Decisions: may this importer have these bytes? A request is allowed only if slices of rules for
 * the same importer and device, with enough access, cover all of it, and no deny touches it.
 *
 * @module
 */
import { deviceKey } from "./device_key.ts";
import { type Interval, IntervalIndex } from "./interval.ts";
import type { DenyRule, DeviceMatch, ExportRule, Policy, PolicySet } from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { intervalOf } from "./slices.ts";
import { WiderMatches } from "./wider_matches.ts";

/** Who asks for which bytes. Names are those of the policy. */
export interface AccessRequest {
  readonly policy: string;
  readonly importer: string;
  readonly device: string;
  readonly bar: number;
  readonly offset: bigint;
  readonly length: bigint;
  readonly access: "read-only" | "read-write";
}

/** The answer, with the rules that decided. */
export type Decision =
  | { readonly outcome: "allowed"; readonly rules: readonly ExportRule[] }
  /** A deny touches the bytes; whether a rule allows them does not matter. */
  | { readonly outcome: "denied"; readonly policy: string; readonly rule: DenyRule }
  /** No deny, but also no rule for all of the bytes. */
  | { readonly outcome: "no-rule" };

interface Allowed extends Interval {
  readonly rule: ExportRule;
}

interface Denied extends Interval {
  readonly rule: DenyRule;
  readonly policy: string;
}

/** What is allowed on one BAR to one importer. */
interface Grants {
  readonly reading: AllowedBytes;
  readonly writing: AllowedBytes;
}

type AllowedDecision = Extract<Decision, { readonly outcome: "allowed" }>;

/** Slices with the decisions that they come to. Most requests are inside one slice. */
class AllowedBytes {
  readonly #index: IntervalIndex<Allowed>;
  /** Where one slice is enough: a decision for each rule, by the label of its slices. */
  readonly #alone: readonly AllowedDecision[];

  constructor(list: readonly Allowed[]) {
    const rules = [...new Set(list.map(({ rule }) => rule))];
    const labels = new Map(rules.map((rule, index) => [rule, index]));
    this.#index = new IntervalIndex(list, ({ rule }) => labels.get(rule) ?? 0);
    this.#alone = rules.map((rule) => ({ outcome: "allowed", rules: [rule] }));
  }

  decide(start: bigint, end: bigint): AllowedDecision | undefined {
    const alone = this.#alone[this.#index.aloneAt(start, end)];
    if (alone !== undefined) return alone;
    const cover = this.#index.cover(start, end);
    if (cover === undefined) return undefined;
    return { outcome: "allowed", rules: [...new Set(cover.map(({ rule }) => rule))] };
  }
}

/** One device of one policy. Names are looked up one by one: joined, each request would hash anew. */
interface DeviceRules {
  /** By BAR: one index for each match that denies something of it. */
  readonly denied: DeniedBars;
  /** By importer, then by BAR. */
  readonly grants: ReadonlyMap<string, readonly (Grants | undefined)[]>;
}

/** By BAR; absent: nothing is denied of it. */
type DeniedBars = readonly (readonly IntervalIndex<Denied>[] | undefined)[];

const BARS = [0, 1, 2, 3, 4, 5];

/** A policy set prepared for decisions in logarithmic time. */
export class Decider {
  /** By policy, then by device. */
  readonly #policies: ReadonlyMap<string, ReadonlyMap<string, DeviceRules>>;

  /**
   * @param set a checked policy set
   *
   * @example
   * ```ts
   * import { Decider } from "./decide.ts";
   * import { loadPolicySet } from "./load.ts";
   * import assert from "node:assert/strict";
   *
   * const { set } = loadPolicySet([{ file: "demo.yaml", text: `
   * apiVersion: bargate/v1
   * kind: ExportPolicy
   * metadata: { name: demo }
   * devices: { ssd: { match: { id: "1b36:0010" } } }
   * importers: { engine: { identity: { user: nobody }, driver: iommufd } }
   * exports: [{ name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [engine] }]
   * ` }]);
   * assert.ok(set);
   * const request = { policy: "demo", importer: "engine", device: "ssd", bar: 2, access: "read-write" } as const;
   * const decider = new Decider(set);
   * assert.equal(decider.decide({ ...request, offset: 0n, length: 4096n }).outcome, "allowed");
   * assert.equal(decider.decide({ ...request, offset: 4096n, length: 8192n }).outcome, "no-rule");
   * ```
   */
  constructor(set: PolicySet) {
    const grants = indexGrants(set);
    const denials = new Denials(set);
    this.#policies = new Map(
      set.policies.map((policy) => [policy.name, rulesOf(policy, grants, denials)]),
    );
  }

  /** Decides one request. */
  decide(request: AccessRequest): Decision {
    const { policy, device, bar, offset, access } = request;
    const end = offset + request.length;
    if (request.length <= 0n || offset < 0n || end > QUANTITY_LIMIT) return { outcome: "no-rule" };
    const rules = this.#policies.get(policy)?.get(device);
    const denied = rules?.denied[bar];
    const hit = denied === undefined ? undefined : firstHit(denied, offset, end);
    if (hit !== undefined) return { outcome: "denied", policy: hit.policy, rule: hit.rule };
    const grants = rules?.grants.get(request.importer)?.[bar];
    const index = access === "read-only" ? grants?.reading : grants?.writing;
    return index?.decide(offset, end) ?? { outcome: "no-rule" };
  }
}

function firstHit(
  denied: readonly IntervalIndex<Denied>[],
  start: bigint,
  end: bigint,
): Denied | undefined {
  for (const index of denied) {
    const hit = index.overlapping(start, end);
    if (hit !== undefined) return hit;
  }
  return undefined;
}

/** Names hold no blank, so the parts cannot run into each other. */
function grantKey(policy: string, importer: string, device: string, bar: number): string {
  return `${policy} ${importer} ${device} ${bar}`;
}

function rulesOf(
  policy: Policy,
  grants: ReadonlyMap<string, Grants>,
  denials: Denials,
): ReadonlyMap<string, DeviceRules> {
  const importers = new Set(policy.exports.flatMap((rule) => rule.importers.map((i) => i.value)));
  const devices = [...policy.devices.values()].map(({ name, match }) => {
    const byImporter = [...importers].map((importer) =>
      [importer, BARS.map((bar) => grants.get(grantKey(policy.name, importer, name, bar)))] as const
    );
    const rules: DeviceRules = {
      denied: denials.of(match),
      grants: new Map(byImporter),
    };
    return [name, rules] as const;
  });
  return new Map(devices);
}

function indexGrants(set: PolicySet): ReadonlyMap<string, Grants> {
  const lists = new Map<string, Allowed[]>();
  for (const policy of set.policies) {
    for (const rule of policy.exports) {
      const allowed = rule.slices.map((slice) => ({ ...intervalOf(slice), rule }));
      for (const importer of rule.importers) {
        append(
          lists,
          grantKey(policy.name, importer.value, rule.device.value, rule.bar.value),
          allowed,
        );
      }
    }
  }
  return new Map([...lists].map(([key, list]) => [key, grantsOf(list)]));
}

function grantsOf(list: readonly Allowed[]): Grants {
  return {
    reading: new AllowedBytes(list),
    writing: new AllowedBytes(list.filter(({ rule }) => rule.access === "read-write")),
  };
}

/** What all denies of one match deny. */
interface MatchDenials {
  readonly match: DeviceMatch;
  readonly bars: readonly (IntervalIndex<Denied> | undefined)[];
}

/** The denies of a set: each holds for its own device and for every one with a narrower match. */
class Denials {
  readonly #wider: WiderMatches<MatchDenials>;
  readonly #known = new Map<string, DeniedBars>();

  constructor(set: PolicySet) {
    this.#wider = new WiderMatches(
      [...indexDenied(set).values()].map((value) => ({ match: value.match, value })),
    );
  }

  of(match: DeviceMatch): DeniedBars {
    const key = deviceKey(match);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const implied = this.#wider.impliedBy(match);
    const bars = BARS.map((bar) => {
      const indices = implied.flatMap(({ bars }) => bars[bar] ?? []);
      return indices.length === 0 ? undefined : indices;
    });
    this.#known.set(key, bars);
    return bars;
  }
}

function indexDenied(set: PolicySet): ReadonlyMap<string, MatchDenials> {
  const lists = new Map<string, { match: DeviceMatch; bars: Denied[][] }>();
  for (const policy of set.policies) {
    for (const rule of policy.deny) {
      const match = policy.devices.get(rule.device.value)?.match;
      if (match === undefined) continue;
      const key = deviceKey(match);
      const entry = lists.get(key) ?? { match, bars: BARS.map(() => []) };
      lists.set(key, entry);
      const denied = deniedBy(policy, rule);
      for (const bar of rule.bar === undefined ? BARS : [rule.bar]) {
        for (const one of denied) entry.bars[bar]?.push(one);
      }
    }
  }
  return new Map([...lists].map(([key, { match, bars }]) => [key, {
    match,
    bars: bars.map((list) => list.length === 0 ? undefined : new IntervalIndex(list)),
  }]));
}

function deniedBy(policy: Policy, rule: DenyRule): readonly Denied[] {
  const intervals = rule.slices?.map(intervalOf) ?? [{ start: 0n, end: QUANTITY_LIMIT }];
  return intervals.map((interval) => ({ ...interval, rule, policy: policy.name }));
}

function append<T>(lists: Map<string, T[]>, key: string, more: readonly T[]): void {
  const known = lists.get(key);
  if (known === undefined) lists.set(key, [...more]);
  else for (const one of more) known.push(one);
}
