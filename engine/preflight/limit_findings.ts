/**
 * Limits of the process that will export.
 *
 * @module
 */
import type { ProcessLimits } from "../../host/own_process.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";

/** Of the runtime, the observers and the channels; twice what was counted in the laboratory. */
const BASE = 64;
/** Node, iommufd, interrupts and lane of a device. */
const BY_DEVICE = 12;
/** A buffer, and its copy on the way to an importer. */
const BY_GRANT = 2;

/** RDMA registers memory of its own; so little of it does not last for the queues. */
const LITTLE_LOCKED = 64 << 20;
const RDMA: ReadonlySet<string> = new Set(["mlx5", "irdma"]);

/**
 * @param grants that would be made
 * @param limits of the process; absent: not known
 * @returns what does not fit
 */
export function limitFindings(
  grants: readonly PlannedGrant[],
  limits: ProcessLimits | undefined,
): readonly Finding[] {
  if (limits === undefined || grants.length === 0) return [];
  return [...openFiles(grants, limits), ...lockedMemory(grants, limits)];
}

/**
 * @param grants that would be made
 * @returns how many descriptors that takes at most
 */
export function descriptorsFor(grants: readonly PlannedGrant[]): number {
  const devices = new Set(grants.map(({ device }) => device.address)).size;
  return BASE + BY_DEVICE * devices + BY_GRANT * grants.length;
}

function openFiles(grants: readonly PlannedGrant[], { openFiles }: ProcessLimits): Finding[] {
  const needed = descriptorsFor(grants);
  if (openFiles === undefined || needed <= openFiles) return [];
  const what =
    `${grants.length} grants take up to ${needed} open files, RLIMIT_NOFILE is ${openFiles}`;
  return [hostFinding("BG2039", undefined, what)];
}

/** The dma-bufs are no memory of the process: this is about what an importer registers besides. */
function lockedMemory(grants: readonly PlannedGrant[], { lockedMemory }: ProcessLimits): Finding[] {
  if (lockedMemory === undefined || lockedMemory >= LITTLE_LOCKED) return [];
  const importers = new Map(grants.map(({ importer, importerName }) => [importerName, importer]));
  return [...importers].filter(([, { driver }]) => RDMA.has(driver.value)).map(([name, { at }]) =>
    hostFinding(
      "BG2040",
      at,
      `RLIMIT_MEMLOCK is ${lockedMemory} bytes, which importer ${name} inherits from export --exec`,
    )
  );
}
