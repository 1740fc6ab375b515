/**
 * All denies of a request: those that hold on every host, and those that may hold, because their
 * device is another by its match, and on some host both are one function.
 *
 * @module
 */
import type { AccessRequest } from "./decide.ts";
import { overlaps } from "./interval.ts";
import { mayBeSame } from "./may_be_same.ts";
import { implies } from "./match_implies.ts";
import type { DenyRule, DeviceMatch, PolicySet } from "./model.ts";
import { intervalOf } from "./slices.ts";

/** A deny, and whose it is. */
export interface DenyOf {
  readonly policy: string;
  readonly rule: DenyRule;
}

/**
 * Finds denies of which only a host can tell whether they hold.
 *
 * @param set the policy set
 * @param request one that no deny forbids on every host
 * @returns those that touch its bytes if its device and theirs are the same function; in order
 *
 * @example
 * ```ts
 * import { possibleDenies } from "./request_denies.ts";
 * import { loadPolicySet } from "./load.ts";
 * import assert from "node:assert/strict";
 *
 * const { set } = loadPolicySet([{ file: "demo.yaml", text: `
 * apiVersion: bargate/v1
 * kind: ExportPolicy
 * metadata: { name: demo }
 * devices:
 *   ssd: { match: { id: "1b36:0010" } }
 *   slot: { match: { address: "0000:03:00.0" } }
 * importers: { engine: { identity: { user: nobody }, driver: iommufd } }
 * exports: [{ name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [engine] }]
 * deny: [{ device: slot, bar: 2, reason: the system disk }]
 * ` }]);
 * assert.ok(set);
 * const request = { policy: "demo", importer: "engine", device: "ssd", bar: 2, access: "read-only" } as const;
 * const found = possibleDenies(set, { ...request, offset: 0n, length: 1n });
 * assert.deepEqual(found.map(({ rule }) => rule.reason), ["the system disk"]);
 * ```
 */
export function possibleDenies(set: PolicySet, request: AccessRequest): readonly DenyOf[] {
  return denies(set, request, (own, other) => !implies(own, other) && mayBeSame(own, other));
}

/**
 * Finds all denies that each forbid a request by themselves; a decision names one of them.
 *
 * @param set the policy set
 * @param request any
 * @returns in order
 */
export function certainDenies(set: PolicySet, request: AccessRequest): readonly DenyOf[] {
  return denies(set, request, implies);
}

function denies(
  { policies }: PolicySet,
  request: AccessRequest,
  holds: (own: DeviceMatch, other: DeviceMatch) => boolean,
): readonly DenyOf[] {
  const own = policies.find(({ name }) => name === request.policy)?.devices.get(request.device);
  if (own === undefined) return [];
  return policies.flatMap(({ name, devices, deny }) =>
    deny.filter((rule) => {
      const match = devices.get(rule.device.value)?.match;
      return match !== undefined && touches(rule, request) && holds(own.match, match);
    }).map((rule) => ({ policy: name, rule }))
  );
}

function touches({ bar, slices }: DenyRule, request: AccessRequest): boolean {
  if (bar !== undefined && bar !== request.bar) return false;
  const wanted = { start: request.offset, end: request.offset + request.length };
  return slices?.some((slice) => overlaps(intervalOf(slice), wanted)) ?? true;
}
