/**
 * State of devices that others own: Bargate does not wake them, and does not switch their memory on.
 * A device that it opens itself is woken and enabled by the open.
 *
 * @module
 */
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../host/config_space.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";
import type { NotChecked } from "./not_checked.ts";

/**
 * @param host what is there
 * @param grants that would be made
 * @returns borrowed devices that nothing can be exported from as they are, and what is not known of
 * their state
 */
export function deviceStateFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): { readonly findings: readonly Finding[]; readonly notChecked: readonly NotChecked[] } {
  const functions = new Map(host.functions.map((entry) => [entry.address, entry]));
  const borrowed = new Map(
    grants.filter(({ device }) => device.owner !== undefined).map((grant) => [
      grant.device.address,
      grant,
    ]),
  );
  const findings: Finding[] = [];
  const notChecked: NotChecked[] = [];
  for (const [address, { rule }] of borrowed) {
    const entry = functions.get(address);
    if (entry === undefined) continue;
    const trouble = asleep(entry) ?? decodesNothing(entry);
    if (trouble !== undefined) {
      findings.push(hostFinding(trouble.code, rule.device.at, trouble.what));
    }
    notChecked.push(...unknownOf(entry));
  }
  return { findings, notChecked };
}

interface Trouble {
  readonly code: "BG2036" | "BG2037";
  readonly what: string;
}

/** Nothing but D0 is awake for certain: an export from any other state is refused. */
function asleep({ address, powerState }: SnapshotFunction): Trouble | undefined {
  if (powerState === undefined || powerState === "D0") return undefined;
  const what = powerState === "unknown"
    ? `the kernel does not know the power state of ${address}: a call could wake it behind its owner's back`
    : `${address} is in ${powerState}: any call would wake it behind its owner's back`;
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

function unknownOf({ address, powerState }: SnapshotFunction): readonly NotChecked[] {
  if (powerState !== undefined) return [];
  const why = "its power state could not be read; nothing is exported from it but in D0";
  return [{ what: `whether ${address} is awake`, why }];
}
