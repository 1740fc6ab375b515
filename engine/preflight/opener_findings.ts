/**
 * Who has devices open by VFIO, as far as an inventory says so. A device is open to one owner, an
 * IOMMU group has one owner too, and a borrowed device must be open to its own.
 *
 * @module
 */
import { isVfioDriver } from "../../host/group_viability.ts";
import type { HostSnapshot, Opener, SnapshotFunction } from "../../host/snapshot.ts";
import { someOf } from "../../host/topology/words.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";
import type { NotChecked } from "./not_checked.ts";

/** What was found, and what nobody looked at. */
interface Judged {
  readonly findings: readonly Finding[];
  readonly notChecked: readonly NotChecked[];
}

/** Of processes that could not be looked at (`host/open_by.ts`). */
const HIDDEN = /^openBy, of /;
/** What the open of a device answers is seen with `--live`. */
const OPENED: Judged = { findings: [], notChecked: [] };

/**
 * @param host what is there
 * @param grants that would be made
 * @param live devices of Bargate's own are opened afterwards, which settles who else has them
 */
export function openerFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
  live = false,
): Judged {
  const byAddress = new Map(grants.map((grant) => [grant.device.address, grant]));
  const functions = new Map(host.functions.map((entry) => [entry.address, entry]));
  const groups = Map.groupBy(
    host.functions.filter(({ driver = "" }) => isVfioDriver(driver)),
    ({ iommuGroup }) => iommuGroup,
  );
  const hidden = host.unreadable?.find(({ field }) => HIDDEN.test(field))?.field;
  const judged = [...byAddress].flatMap(([address, grant]) => {
    const entry = functions.get(address);
    if (entry === undefined) return [];
    if (grant.device.owner !== undefined) return [ofBorrowed(entry, grant, hidden)];
    const group = entry.iommuGroup === undefined ? [] : groups.get(entry.iommuGroup) ?? [];
    const others = group.filter((other) => other !== entry);
    return [withoutLive(ofOwn(entry, others, grant, hidden), live)];
  });
  return {
    findings: judged.flatMap(({ findings }) => findings),
    notChecked: judged.flatMap(({ notChecked }) => notChecked),
  };
}

function withoutLive(judged: Judged, live: boolean): Judged {
  return live ? { ...OPENED, findings: judged.findings } : judged;
}

/** The kernel binds a device once (EINVAL), and gives a group to one owner (EPERM; EBUSY by its node). */
function ofOwn(
  entry: SnapshotFunction,
  others: readonly SnapshotFunction[],
  { rule }: PlannedGrant,
  hidden: string | undefined,
): Judged {
  const { address, openBy = [] } = entry;
  const held = others.filter((other) => (other.openBy ?? []).length > 0);
  const findings: Finding[] = [];
  if (openBy.length > 0) {
    const message = `${address} is open by ${
      processes(openBy)
    }, and a device is bound to one owner`;
    findings.push(hostFinding("BG2052", rule.device.at, message));
  }
  if (held.length > 0) {
    const whose = held.map((other) => `${other.address} by ${processes(other.openBy ?? [])}`);
    const message =
      `of IOMMU group ${entry.iommuGroup} of ${address} other functions are open, and a group has one owner: ${
        someOf(whose)
      }`;
    findings.push(hostFinding("BG2052", rule.device.at, message));
  }
  const what = `whether another process has ${address} or its IOMMU group open`;
  if ([entry, ...others].some((each) => each.openBy === undefined)) {
    return { findings, notChecked: [{ what, why: NOBODY_LOOKED }] };
  }
  const why = `processes could not be looked at (${hidden})`;
  return { findings, notChecked: hidden === undefined ? [] : [{ what, why }] };
}

const NOBODY_LOOKED = "nobody looked; `bargate inventory --owners` does";

/** Whose descriptor is taken is looked at when it is; that there is none is known before. */
function ofBorrowed(
  { address, openBy }: SnapshotFunction,
  { rule, device: { owner = {} } }: PlannedGrant,
  hidden: string | undefined,
): Judged {
  if (openBy?.length === 0 && hidden === undefined) {
    const message = `nobody has ${address} open, so that there is no descriptor to borrow`;
    return { findings: [hostFinding("BG2053", rule.device.at, message)], notChecked: [] };
  }
  const fields = Object.entries(owner).map(([field, { value }]) => `${field} ${value}`).join(", ");
  const seen = openBy === undefined || openBy.length === 0 ? "" : `; ${processes(openBy)} has it`;
  return {
    findings: [],
    notChecked: [{
      what: `whether its owner (${fields}) has ${address} open`,
      why: `owners are looked for when a device is borrowed${seen}`,
    }],
  };
}

/** What a process calls itself is no identity, but helps to find it. */
function processes(all: readonly Opener[]): string {
  return someOf(
    all.map(({ pid, command }) => `process ${pid}${command === undefined ? "" : ` (${command})`}`),
  );
}
