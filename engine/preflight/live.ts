/**
 * Asks devices themselves whether they can export: opens each, makes sure that it is the one that is
 * meant, asks for the feature, and closes it. Nothing is exported. The open is no mere look: the
 * kernel tries to reset the function, and switches its bus mastering off.
 *
 * @module
 */
import type { Clock } from "../clock.ts";
import type { DeviceTarget } from "../device_target.ts";
import { HostNotReadyError, RefusedError } from "../errors.ts";
import { GroupAccess } from "../group_access.ts";
import { ready, refusedBy } from "../refusal.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import { inTime } from "../in_time.ts";
import type { Kernel, Lane } from "../kernel.ts";
import type { PlannedGrant } from "../plan.ts";
import { DeviceSession } from "../session.ts";
import { SharedIommufd } from "../shared_iommufd.ts";
import type { VfTokenSource } from "../vf_token.ts";
import type { WhyLeft } from "./left_unopened.ts";

/** What was found, and which devices were not opened. */
export interface LiveFindings {
  readonly findings: readonly Finding[];
  /** PCI addresses of devices that were not opened, each with the reason. */
  readonly left: ReadonlyMap<string, WhyLeft>;
}

/** What opening takes. */
export interface LiveContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  /** What virtual functions are opened with. */
  readonly vfTokenFor?: VfTokenSource;
}

/**
 * Opens the devices of grants, one after the other; this process is made non-dumpable, for it will hold
 * their descriptors. Not one that any of the grants would borrow: it is
 * another process's, whatever the others call it.
 *
 * @param context what it takes
 * @param grants that would be made
 * @param leave PCI addresses of devices that are not to be opened besides
 * @throws {HostNotReadyError} if others could look into this process
 */
export async function probeLive(
  context: LiveContext,
  grants: readonly PlannedGrant[],
  leave: ReadonlyMap<string, WhyLeft> = new Map(),
): Promise<LiveFindings> {
  await ready("make this process non-dumpable", () => context.kernel.makeNonDumpable());
  const borrowed = borrowedAmong(grants);
  const first = new Map<string, PlannedGrant>();
  for (const grant of grants) {
    if (!first.has(grant.device.address)) first.set(grant.device.address, grant);
  }
  const findings: Finding[] = [];
  const left = new Map<string, WhyLeft>();
  for (const [address, { device, rule }] of first) {
    const why = borrowed.has(address) ? "borrowed" : leave.get(address);
    if (why !== undefined) {
      left.set(address, why);
      continue;
    }
    const trouble = await troubleWith(context, device);
    if (trouble !== undefined) findings.push(hostFinding("BG2042", rule.device.at, trouble));
  }
  return { findings, left };
}

/** @returns PCI addresses of all devices that some grant borrows */
function borrowedAmong(grants: readonly PlannedGrant[]): ReadonlySet<string> {
  return new Set(
    grants.filter(({ device }) => device.owner !== undefined).map(({ device }) => device.address),
  );
}

/** @returns what stands in the way; undefined: nothing */
async function troubleWith(
  { kernel, clock, vfTokenFor }: LiveContext,
  device: DeviceTarget,
): Promise<string | undefined> {
  try {
    await inTime(clock, device.address, probe(kernel, device, vfTokenFor));
    return undefined;
  } catch (error) {
    // What could not be given back is told too: the device stays open then until this process ends.
    const answer = refusedBy(`ask ${device.address} whether it can export`, error);
    if (!isAnswer(answer)) throw answer;
    return answer.message;
  }
}

async function probe(
  kernel: Kernel,
  device: DeviceTarget,
  vfTokenFor: VfTokenSource | undefined,
): Promise<void> {
  const shared = new SharedIommufd(kernel);
  const lane = kernel.openLane(device.address);
  const access = new GroupAccess(kernel, shared, vfTokenFor);
  try {
    const session = await opened(kernel, lane, access, device);
    try {
      await session.checkFeature();
    } finally {
      await session.dispose();
    }
  } finally {
    shared.close();
  }
}

/** A session ends its lane when it is disposed of; without one that is to be done here. */
async function opened(
  kernel: Kernel,
  lane: Lane,
  access: GroupAccess,
  device: DeviceTarget,
): Promise<DeviceSession> {
  try {
    return await DeviceSession.open(kernel, lane, access, device);
  } catch (error) {
    await lane.end();
    throw error;
  }
}

function isAnswer(error: unknown): error is Error {
  return error instanceof HostNotReadyError || error instanceof RefusedError;
}
