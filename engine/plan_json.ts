/**
 * Plan v1, as JSON. 64-bit numbers are hexadecimal strings; the same plan gives the same bytes.
 *
 * @module
 */
import { holdsOver } from "./device_hold.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DmaRange } from "./kernel.ts";
import type { Plan, PlannedGrant } from "./plan.ts";
import { ResetDomains } from "./plan_domain.ts";
import { idOf } from "./resolve.ts";

/** An ioctl as it would be made. */
export interface IoctlBytes {
  /** `0x3b75` */
  readonly request: string;
  /** The argument's bytes. */
  readonly bytes: string;
}

/** Where the plan is for. */
export interface PlanPlace {
  /** A simulated host. */
  readonly simulated?: true;
  /** The host that this file describes. */
  readonly inventory?: string;
}

/** Lays out `VFIO_DEVICE_FEATURE_DMA_BUF`: layouts are `ffi/`'s affair. */
export type ExportEncoder = (bar: number, ranges: readonly DmaRange[]) => IoctlBytes;

/**
 * Makes the JSON value of a plan.
 *
 * @param plan the plan
 * @param encode lays out the export ioctl
 * @param place where it is for; absent: this host
 * @returns Plan v1, to be given to `JSON.stringify`
 */
export function planJson(
  plan: Plan,
  encode: ExportEncoder,
  place: PlanPlace = {},
): Record<string, unknown> {
  const domains = new ResetDomains(plan);
  return {
    apiVersion: "bargate/v1",
    kind: "ExportPlan",
    ...place,
    host: plan.host,
    policy: plan.policy,
    grants: plan.grants.map((grant) => grantJson(grant, domains, encode)),
    diagnostics: plan.diagnostics,
  };
}

function grantJson(
  grant: PlannedGrant,
  domains: ResetDomains,
  encode: ExportEncoder,
): Record<string, unknown> {
  const { address, id, node } = grant.device;
  const { functions, omitted } = domains.toldOf(grant);
  return {
    export: grant.export,
    importer: grant.importer.name,
    ...importerDevice(grant.importerFunction),
    device: { address, id, node },
    bar: grant.bar,
    slices: grant.ranges.map(({ offset, length }) => ({
      offset: hex(offset),
      length: hex(length),
    })),
    access: grant.rule.access,
    revocation: grant.revocation,
    holds: grant.device.holds.map((by) => ({
      by,
      overReset: holdsOver([by], "reset").length > 0,
    })),
    resetDomain: functions.map(({ grants, ...where }) => ({
      ...where,
      grants: grants.map((other) => ({ export: other.export, importer: other.importerName })),
    })),
    ...(omitted === undefined ? {} : { resetDomainOmitted: omitted }),
    ioctl: encode(grant.bar, grant.ranges),
  };
}

function importerDevice(entry: SnapshotFunction | undefined): Record<string, unknown> {
  if (entry === undefined) return {};
  const { address, driver } = entry;
  return { importerDevice: { address, id: idOf(entry), driver } };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
