/**
 * Whether the nodes of devices may be opened by whoever will export.
 *
 * @module
 */
import type { ProcessAccount } from "../../host/own_process.ts";
import type { HostSnapshot, NodeAccess } from "../../host/snapshot.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";
import type { NotChecked } from "./not_checked.ts";

/** Reading and writing, of one class of the permission bits. */
const READ_WRITE = 0o6;

/**
 * @param host what is there
 * @param grants that would be made
 * @param account who will export; absent: not known
 * @returns nodes that it may not open, and those of which nobody can tell
 */
export function nodeFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
  account: ProcessAccount | undefined,
): { readonly findings: readonly Finding[]; readonly notChecked: readonly NotChecked[] } {
  if (account === undefined || account.uid === 0) return { findings: [], notChecked: [] };
  const functions = new Map(host.functions.map((entry) => [entry.address, entry]));
  const nodes = new Map(
    grants.filter(({ device }) => device.owner === undefined).map((grant) => [
      grant.device.node,
      grant,
    ]),
  );
  const findings: Finding[] = [];
  const notChecked: NotChecked[] = [];
  for (const [node, { device, rule }] of nodes) {
    const entry = functions.get(device.address);
    const access = device.route === "cdev" ? entry?.cdevAccess : entry?.groupAccess;
    if (access === undefined) {
      notChecked.push({
        what: `whether uid ${account.uid} may open ${node} of ${device.address}`,
        why: "whose the node is could not be read",
      });
    } else if (!mayOpen(access, account)) {
      findings.push(hostFinding("BG2035", rule.device.at, refusal(device, access, account)));
    }
  }
  return { findings, notChecked };
}

function refusal(
  { node, address }: PlannedGrant["device"],
  { uid, gid, mode }: NodeAccess,
  account: ProcessAccount,
): string {
  return `${node} of ${address} is of uid ${uid}, gid ${gid}, mode ${mode}: uid ${account.uid} may not open it`;
}

/** The first class that fits decides, as in the kernel (`fs/namei.c`, `acl_permission_check`). */
function mayOpen({ uid, gid, mode }: NodeAccess, account: ProcessAccount): boolean {
  const bits = parseInt(mode, 8);
  const shift = uid === account.uid ? 6 : account.gids.includes(gid) ? 3 : 0;
  return ((bits >> shift) & READ_WRITE) === READ_WRITE;
}
