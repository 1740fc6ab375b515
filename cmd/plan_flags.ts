/**
 * Options of every verb that plans: they decide the plan, and so must mean the same everywhere.
 *
 * @module
 */
import type { Route } from "../engine/group_access.ts";
import type { PlanOptions } from "../engine/plan.ts";
import { pathArgument } from "./path_argument.ts";

/** How to plan. */
export interface PlanFlags {
  readonly importer?: string;
  readonly acceptUnwaitedRevoke: boolean;
  readonly route?: Route;
  /** Snapshot of the host to simulate. */
  readonly sim?: string;
}

/**
 * What is asked of the planner. Two verbs with the same options ask the same of it.
 *
 * @param flags of the verb
 */
export function planOptions({ importer, route, acceptUnwaitedRevoke }: PlanFlags): PlanOptions {
  return {
    ...(importer === undefined ? {} : { importer }),
    ...(route === undefined ? {} : { route }),
    acceptUnwaitedRevoke,
  };
}

/** The option of every verb that can do with a simulated host. */
export const SIM_FLAG = {
  kind: "parsed",
  parse: pathArgument,
  optional: true,
  placeholder: "snapshot",
  brief: "On a simulated host, made from a snapshot: no device is touched",
} as const;

/** The options, as the command line knows them. */
export const PLAN_FLAGS = {
  route: {
    kind: "enum",
    values: ["cdev", "group"],
    optional: true,
    brief: "Open devices by character device or by IOMMU group (default: as the host has it)",
  },
  acceptUnwaitedRevoke: {
    kind: "boolean",
    default: false,
    brief: "Accept Linux 6.19 to 7.0, whose revoke does not wait for importers to unmap",
  },
  sim: SIM_FLAG,
} as const;
