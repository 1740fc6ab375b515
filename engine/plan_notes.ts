/**
 * What reviewers of a plan should know although nothing stands in its way.
 *
 * @module
 */
import type { ExportRule } from "../policy/model.ts";
import type { DeviceTarget } from "./device_target.ts";
import { type Finding, hostFinding } from "./host_findings.ts";

/** What matters of a planned grant. */
export interface NotedGrant {
  readonly export: string;
  readonly rule: ExportRule;
  readonly device: Pick<DeviceTarget, "address" | "owner">;
}

/**
 * @param grants that would be made
 * @returns notes, each of a rule on one device once, however many importers it has
 */
export function planNotes(grants: readonly NotedGrant[]): readonly Finding[] {
  const rules = [...new Map(grants.map((grant) => [grant.export, grant])).values()];
  return rules.flatMap(unseenResets);
}

/** A rule promises what comes true only where the owner's resets are seen. */
function unseenResets({ export: name, rule, device }: NotedGrant): readonly Finding[] {
  if (rule.onReset !== "revoke" || device.owner === undefined) return [];
  const message =
    `${name}: \`onReset: revoke\` does not hold for resets by the owner of ${device.address}, unless they are traced`;
  return [hostFinding("BG2057", rule.at, message)];
}
