/**
 * What reviewers of a plan should know although nothing stands in its way.
 *
 * @module
 */
import type { ExportRule } from "../policy/model.ts";
import type { DeviceTarget } from "./device_target.ts";
import { rangeText } from "../policy/range_text.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";
import { acceptedKernel } from "./kernel_version.ts";
import { PROTECTED_NAMES } from "./protected_ranges.ts";

/** What matters of a planned grant. */
export interface NotedGrant {
  readonly export: string;
  readonly rule: ExportRule;
  readonly device: Pick<DeviceTarget, "address" | "owner" | "protectedRanges">;
  readonly bar: number;
  readonly ranges: readonly DmaRange[];
}

/**
 * @param grants that would be made
 * @param release of the kernel
 * @param acceptUnwaitedRevoke whether Linux 6.19 to 7.0 are accepted
 * @returns notes, each of a rule on one device once, however many importers it has
 */
export function planNotes(
  grants: readonly NotedGrant[],
  release: string,
  acceptUnwaitedRevoke = false,
): readonly Finding[] {
  const rules = [...new Map(grants.map((grant) => [grant.export, grant])).values()];
  return [
    ...acceptedKernel(release, acceptUnwaitedRevoke),
    ...rules.flatMap((grant) => [...exposed(grant), ...unseenResets(grant)]),
  ];
}

/** What the kernel and Bargate would else keep inside, and why the policy lets it out. */
function exposed({ export: name, rule, device, bar, ranges }: NotedGrant): readonly Finding[] {
  return device.protectedRanges.flatMap((guarded) => {
    const allowed = rule.allowProtected.find(({ range }) => range === guarded.what);
    const start = guarded.offset;
    const end = start + guarded.length;
    const isTouched = guarded.bar === bar &&
      ranges.some(({ offset, length }) => offset < end && start < offset + length);
    if (allowed === undefined || !isTouched) return [];
    const message = `${name} exposes the ${PROTECTED_NAMES[guarded.what]} of ${device.address} (${
      rangeText({ start, end })
    } of BAR ${bar}); the policy's reason: ${allowed.reason}`;
    return [hostFinding("BG2058", allowed.at, message)];
  });
}

/** A rule promises what comes true only where the owner's resets are seen. */
function unseenResets({ export: name, rule, device }: NotedGrant): readonly Finding[] {
  if (rule.onReset !== "revoke" || device.owner === undefined) return [];
  const message =
    `${name}: \`onReset: revoke\` does not hold for resets by the owner of ${device.address}, unless they are traced`;
  return [hostFinding("BG2057", rule.at, message)];
}
