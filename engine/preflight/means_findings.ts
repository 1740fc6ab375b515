/**
 * Grants that only their importer can give back.
 *
 * @module
 */
import { type Finding, hostFinding } from "../host_findings.ts";
import type { Means } from "../end.ts";
import type { PlannedGrant } from "../plan.ts";

/** Means that need nobody's help. */
const OWN: ReadonlySet<Means> = new Set(["hold", "close", "new-generation"]);

/**
 * @param grants that would be made, with their means
 * @returns a note for each rule whose grants nothing of Bargate's own can take back
 */
export function meansFindings(grants: readonly PlannedGrant[]): readonly Finding[] {
  const cooperative = new Map(
    grants.filter(({ revocation }) => !revocation.some((means) => OWN.has(means))).map((
      grant,
    ) => [grant.export, grant]),
  );
  return [...cooperative].map(([name, { rule, revocation, device }]) =>
    hostFinding(
      "BG2041",
      rule.at,
      `${name}: ${device.address} is its owner's to close, so that only ${
        revocation.join(", ")
      } takes the grant back`,
    )
  );
}
