/**
 * State of devices. Those that others own are neither woken nor is their memory switched on. A device
 * that Bargate opens itself is woken and enabled by the open, unless the kernel cannot do that.
 *
 * @module
 */
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../host/config_space.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { cannotResume, whyAsleep } from "../device_sleep.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";
import type { NotChecked } from "./not_checked.ts";

/**
 * @param host what is there
 * @param grants that would be made
 * @returns devices that nothing can be exported from as they are, and what is not known of the state of
 * borrowed ones
 */
export function deviceStateFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): { readonly findings: readonly Finding[]; readonly notChecked: readonly NotChecked[] } {
  const functions = new Map(host.functions.map((entry) => [entry.address, entry]));
  const isBorrowed = ({ device }: PlannedGrant) => device.owner !== undefined;
  const byAddress = new Map(
    [...grants.filter((grant) => !isBorrowed(grant)), ...grants.filter(isBorrowed)]
      .map((grant) => [grant.device.address, grant]),
  );
  const findings: Finding[] = [];
  const notChecked: NotChecked[] = [];
  for (const [address, grant] of byAddress) {
    const { rule } = grant;
    const entry = functions.get(address);
    if (entry === undefined) continue;
    const borrowed = isBorrowed(grant);
    const trouble = lost(entry) ?? (borrowed ? asleep(entry) ?? decodesNothing(entry) : undefined);
    if (trouble !== undefined) {
      findings.push(hostFinding(trouble.code, rule.device.at, trouble.what));
    }
    if (borrowed) notChecked.push(...unknownOf(entry));
  }
  return { findings, notChecked };
}

interface Trouble {
  readonly code: "BG2036" | "BG2037" | "BG2049";
  readonly what: string;
}

function lost(entry: SnapshotFunction): Trouble | undefined {
  if (!cannotResume(entry)) return undefined;
  const what =
    `the kernel does not resume ${entry.address} any more: its power/runtime_status is error`;
  return { code: "BG2049", what };
}

/** Nothing but D0 is awake for certain: an export from any other state is refused. */
function asleep(entry: SnapshotFunction): Trouble | undefined {
  const why = whyAsleep(entry);
  if (why === undefined) return undefined;
  const what = `${entry.address} is ${why}: a call would wake it behind its owner's back, or fail`;
  return { code: "BG2036", what };
}

/** A virtual function has no such bit. Without configuration space nothing is planned. */
function decodesNothing({ address, config, physfn }: SnapshotFunction): Trouble | undefined {
  if (physfn !== undefined || ((config[PCI_COMMAND] ?? 0) & PCI_COMMAND_MEMORY) !== 0) {
    return undefined;
  }
  const what =
    `the owner of ${address} has switched its memory decode off: a buffer would be born revoked`;
  return { code: "BG2037", what };
}

function unknownOf(
  { address, powerState, unreadable }: SnapshotFunction,
): readonly NotChecked[] {
  const isUnread = unreadable.some(({ field }) => field === "runtimeStatus");
  if (powerState !== undefined && !isUnread) return [];
  const which = powerState === undefined ? "power state" : "runtime power management";
  const why = `its ${which} could not be read; nothing is exported from it but in D0`;
  return [{ what: `whether ${address} is awake`, why }];
}
