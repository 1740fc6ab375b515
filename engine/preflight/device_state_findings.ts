/**
 * State of devices that others own: Bargate does not wake them, and does not switch their memory on.
 * A device that it opens itself is woken and enabled by the open.
 *
 * @module
 */
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../host/config_space.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";

/**
 * @param host what is there
 * @param grants that would be made
 * @returns borrowed devices that nothing can be exported from as they are
 */
export function deviceStateFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): readonly Finding[] {
  const functions = new Map(host.functions.map((entry) => [entry.address, entry]));
  const borrowed = new Map(
    grants.filter(({ device }) => device.owner !== undefined).map((grant) => [
      grant.device.address,
      grant,
    ]),
  );
  return [...borrowed].flatMap(([address, { rule }]) => {
    const entry = functions.get(address);
    if (entry === undefined) return [];
    const { powerState } = entry;
    if (powerState !== undefined && powerState !== "D0" && powerState !== "unknown") {
      const what = `${address} is in ${powerState}: any call would wake it behind its owner's back`;
      return [hostFinding("BG2036", rule.device.at, what)];
    }
    // A virtual function has no such bit.
    if (
      entry.physfn !== undefined || ((entry.config[PCI_COMMAND] ?? 0) & PCI_COMMAND_MEMORY) !== 0
    ) return [];
    return [
      hostFinding(
        "BG2037",
        rule.device.at,
        `the owner of ${address} has switched its memory decode off: a buffer would be born revoked`,
      ),
    ];
  });
}
