/**
 * Rules that almost allow a request, and what each of them lacks.
 *
 * @module
 */
import type { AccessRequest } from "./decide.ts";
import { type Interval, normalized, subtract } from "./interval.ts";
import type { ExportRule, PolicySet, SliceRule } from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { intervalOf } from "./slices.ts";

/** One thing that keeps a rule from allowing a request. */
export type Lack =
  | { readonly what: "importer"; readonly importers: readonly string[] }
  | { readonly what: "device"; readonly device: string }
  | { readonly what: "bar"; readonly bar: number }
  | { readonly what: "access"; readonly access: string }
  /** Only the host knows which bytes it allows. */
  | { readonly what: "region"; readonly region: "nvme.cmb" }
  | { readonly what: "bytes"; readonly missing: readonly Interval[] };

/** A rule and what it lacks. */
export interface NearMiss {
  readonly rule: ExportRule;
  readonly lacks: readonly Lack[];
}

const MAX_MISSES = 5;

/**
 * Finds the rules of the request's policy that lack the least.
 *
 * @param set the policy set
 * @param request one that no rule allows
 * @returns at most five, those that lack least first
 */
export function nearMisses(set: PolicySet, request: AccessRequest): readonly NearMiss[] {
  const policy = set.policies.find(({ name }) => name === request.policy);
  const misses = (policy?.exports ?? []).map((rule) => ({ rule, lacks: lacksOf(rule, request) }));
  return misses.filter(({ lacks }) => lacks.length < 4)
    .sort((a, b) => a.lacks.length - b.lacks.length).slice(0, MAX_MISSES);
}

function lacksOf(rule: ExportRule, request: AccessRequest): readonly Lack[] {
  const lacks: Lack[] = [];
  const importers = rule.importers.map(({ value }) => value);
  const sameBar = rule.device.value === request.device && rule.bar.value === request.bar;
  if (!importers.includes(request.importer)) lacks.push({ what: "importer", importers });
  if (rule.device.value !== request.device) {
    lacks.push({ what: "device", device: rule.device.value });
  }
  if (rule.bar.value !== request.bar) lacks.push({ what: "bar", bar: rule.bar.value });
  if (request.access === "read-write" && rule.access === "read-only") {
    lacks.push({ what: "access", access: rule.access });
  }
  const missing = missingBytes(rule.slices, request);
  // Offsets mean something within one BAR only.
  if (sameBar && rule.region?.value === "nvme.cmb") {
    lacks.push({ what: "region", region: rule.region.value });
  } else if (sameBar && missing.length > 0) lacks.push({ what: "bytes", missing });
  return lacks;
}

function missingBytes(
  slices: readonly SliceRule[],
  { offset, length }: AccessRequest,
): readonly Interval[] {
  const end = offset + length;
  const wanted = [{ start: offset, end: end > QUANTITY_LIMIT ? QUANTITY_LIMIT : end }];
  return subtract(wanted, normalized(slices.map(intervalOf)));
}
