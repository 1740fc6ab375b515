/**
 * Decisions about a region of which only the host knows the place: who may have it, wherever it is.
 *
 * @module
 */
import type { AccessRequest } from "./decide.ts";
import type { ExportRule, PolicySet } from "./model.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { certainDenies, type DenyOf, possibleDenies } from "./request_denies.ts";

/** Who asks for which region. Names are those of the policy. */
export interface RegionRequest
  extends Pick<AccessRequest, "policy" | "importer" | "device" | "access"> {
  readonly region: "nvme.cmb";
  /** Absent: whichever it is in. */
  readonly bar?: number;
}

/** A rule that allows the region, and what may yet forbid it. */
export interface RegionRule {
  readonly rule: ExportRule;
  /** Denies of parts of the BAR: whether one hits the region is seen on the host. */
  readonly unless: readonly DenyOf[];
  /** Denies of devices that may be the same function by another match. */
  readonly perhaps: readonly DenyOf[];
}

/**
 * Decides about a region.
 *
 * @param set a checked policy set
 * @param request who asks for it
 * @returns the rules that allow it, by its name or with the whole BAR; none: no rule allows it
 *
 * @example
 * ```ts
 * import { decideRegion } from "./decide_region.ts";
 * import { loadPolicySet } from "./load.ts";
 * import assert from "node:assert/strict";
 *
 * const { set } = loadPolicySet([{ file: "demo.yaml", text: `
 * apiVersion: bargate/v1
 * kind: ExportPolicy
 * metadata: { name: demo }
 * devices: { ssd: { match: { id: "1b36:0010" } } }
 * importers: { engine: { identity: { user: nobody }, driver: iommufd } }
 * exports: [{ name: data, device: ssd, bar: 2, region: nvme.cmb, importers: [engine] }]
 * ` }]);
 * assert.ok(set);
 * const asked = { policy: "demo", device: "ssd", region: "nvme.cmb", access: "read-write" } as const;
 * assert.equal(decideRegion(set, { ...asked, importer: "engine" }).length, 1);
 * assert.equal(decideRegion(set, { ...asked, importer: "engine", bar: 4 }).length, 0);
 * ```
 */
export function decideRegion(set: PolicySet, request: RegionRequest): readonly RegionRule[] {
  const { policy, importer, device, bar, region, access } = request;
  const exports = set.policies.find(({ name }) => name === policy)?.exports ?? [];
  const allowing = exports.filter((rule) =>
    rule.device.value === device && (bar === undefined || rule.bar.value === bar) &&
    rule.importers.some(({ value }) => value === importer) &&
    (access === "read-only" || rule.access === "read-write") &&
    (rule.region?.value === region || isWhole(rule))
  );
  return allowing.map((rule) => {
    const within = { policy, importer, device, access, bar: rule.bar.value };
    const anywhere = { ...within, offset: 0n, length: QUANTITY_LIMIT };
    return {
      rule,
      unless: certainDenies(set, anywhere),
      perhaps: possibleDenies(set, anywhere),
    };
  });
}

function isWhole({ slices }: ExportRule): boolean {
  return slices.some(({ offset, length }) => offset === 0n && length === "rest");
}
