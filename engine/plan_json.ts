/**
 * Plan v1, as JSON. 64-bit numbers are hexadecimal strings; the same plan gives the same bytes.
 *
 * @module
 */
import type { Diagnostic } from "../policy/diagnostic.ts";
import { holdsOver } from "./device_hold.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { Plan, PlannedGrant, PlanOptions } from "./plan.ts";
import { ResetDomains } from "./plan_domain.ts";
import { plainIdentity } from "./plain_identity.ts";
import { stepsOf } from "./plan_steps.ts";
import type { CallEncoder, PlanStep } from "./planned_call.ts";
import { idOf } from "./match_fields.ts";

/** Where the plan is for. */
export interface PlanPlace {
  /** A simulated host. */
  readonly simulated?: true;
  /** The host that this file describes. */
  readonly inventory?: string;
  /** What was planned for; absent: nothing in particular. */
  readonly options?: PlanOptions;
}

/** What a plan says that it is. */
export const PLAN_API_VERSION = "bargate/v1";
export const PLAN_KIND = "ExportPlan";

/** Plan v1. */
export interface PlanJson {
  readonly [field: string]: unknown;
  readonly grants: readonly Record<string, unknown>[];
  /** What is called for each importer, in order. */
  readonly runs: readonly {
    readonly importer: string;
    readonly steps: readonly Record<string, unknown>[];
  }[];
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Makes the JSON value of a plan.
 *
 * @param plan the plan
 * @param encode lays out ioctls
 * @param place where it is for; absent: this host
 * @returns Plan v1, to be given to `JSON.stringify`
 */
export function planJson(
  plan: Plan,
  encode: CallEncoder,
  { options = {}, ...place }: PlanPlace = {},
): PlanJson {
  const domains = new ResetDomains(plan);
  const byImporter = Map.groupBy(plan.grants, ({ importerName }) => importerName);
  return {
    apiVersion: PLAN_API_VERSION,
    kind: PLAN_KIND,
    ...place,
    options: optionsJson(options),
    host: plan.host,
    policy: plan.policy,
    grants: plan.grants.map((grant) => grantJson(grant, domains, encode)),
    runs: [...byImporter].map(([importer, grants]) => ({
      importer,
      steps: stepsOf(grants).map((step) => stepJson(step, encode)),
    })),
    diagnostics: inOrder(plan.diagnostics),
  };
}

/**
 * Those that are given, in one order, however they were given.
 *
 * @param options of a planning
 */
export function optionsJson({ importer, route, acceptUnwaitedRevoke }: PlanOptions): PlanOptions {
  return {
    ...(importer === undefined ? {} : { importer }),
    ...(route === undefined ? {} : { route }),
    ...(acceptUnwaitedRevoke === true ? { acceptUnwaitedRevoke } : {}),
  };
}

/** By what they are about: the order in which files were given, or facts found, does not count. */
function inOrder(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  return diagnostics.toSorted((a, b) =>
    compare(a.file ?? "", b.file ?? "") || compare(a.line ?? 0, b.line ?? 0) ||
    compare(a.column ?? 0, b.column ?? 0) || compare(a.code, b.code) ||
    compare(a.message, b.message)
  );
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function stepJson({ made, only, expect }: PlanStep, encode: CallEncoder): Record<string, unknown> {
  const ioctls = encode(made);
  const said = {
    ...made,
    ...(only === undefined ? {} : { only }),
    ...(ioctls.length === 0 ? {} : { ioctls }),
    ...(expect === undefined ? {} : { expect }),
  };
  return withHex(said) as Record<string, unknown>;
}

/** The same value with 64-bit numbers as text. */
function withHex(value: unknown): unknown {
  if (typeof value === "bigint") return hex(value);
  if (Array.isArray(value)) return value.map(withHex);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withHex(each)]));
}

function grantJson(
  grant: PlannedGrant,
  domains: ResetDomains,
  encode: CallEncoder,
): Record<string, unknown> {
  const { functions, omitted } = domains.toldOf(grant);
  return {
    export: grant.export,
    importer: grant.importer.name,
    recipient: recipientJson(grant),
    ...importerDevice(grant.importerFunction),
    device: deviceJson(grant.device),
    bar: grant.bar,
    slices: grant.ranges.map(({ offset, length }) => ({
      offset: hex(offset),
      length: hex(length),
    })),
    access: grant.rule.access,
    onReset: grant.rule.onReset,
    graceMs: grant.rule.graceMs,
    ...(grant.rule.expiresMs === undefined ? {} : { expiresMs: grant.rule.expiresMs }),
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
    ioctl: ioctlJson(grant, encode),
  };
}

/** Who gets it, by whatever name: two policies may have importers of one name. */
function recipientJson({ importer, importerName }: PlannedGrant): Record<string, unknown> {
  const { identity, driver, mapping } = importer;
  return {
    name: importerName,
    identity: plainIdentity(identity),
    driver: driver.value,
    mapping,
  };
}

/** All by which the engine tells that it is this device, and no other. */
function deviceJson(device: DeviceTarget): Record<string, unknown> {
  const { address, id, node, subsystem, class: classCode, serial, barSizes } = device;
  const { controllerMemory } = device;
  return {
    address,
    id,
    node,
    ...(device.owner === undefined ? {} : { owner: plainIdentity(device.owner) }),
    subsystem,
    class: classCode,
    serial,
    barSizes: [...barSizes].map(([bar, size]) => ({ bar, size: hex(size) })),
    protectedRanges: withHex(device.protectedRanges),
    ...(controllerMemory === undefined ? {} : { controllerMemory: withHex(controllerMemory) }),
  };
}

function importerDevice(entry: SnapshotFunction | undefined): Record<string, unknown> {
  if (entry === undefined) return {};
  const { address, driver } = entry;
  return { importerDevice: { address, id: idOf(entry), driver } };
}

function ioctlJson({ bar: region, ranges }: PlannedGrant, encode: CallEncoder) {
  const [ioctl] = encode({ call: "exportDmaBuf", on: "", region, ranges, gives: "" });
  return ioctl === undefined ? undefined : { request: ioctl.request, bytes: ioctl.bytes };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
