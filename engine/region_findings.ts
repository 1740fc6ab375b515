/**
 * Grants of regions that a host's inventory has the place of, and an export would not find.
 *
 * @module
 */
import type { ExportRule } from "../policy/model.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";

/** What matters of a planned grant. */
interface RegionGrant {
  readonly export: string;
  readonly rule: Pick<ExportRule, "region" | "at">;
  readonly device: { readonly address: string };
  readonly ranges: readonly DmaRange[];
}

/**
 * @param code of what it comes to: a plan shows such a grant, a host is not ready for it
 * @param grants as they would be made
 * @returns one for each export of a controller's memory buffer, with the slices that would do
 */
export function regionFindings(
  code: "BG2030" | "BG2043",
  grants: readonly RegionGrant[],
): readonly Finding[] {
  const regions = new Map(
    grants.filter(({ rule }) => rule.region?.value === "nvme.cmb")
      .map((grant) => [grant.export, grant]),
  );
  return [...regions].map(([name, { rule, device, ranges }]) => {
    const slices = ranges.map(({ offset, length }) =>
      `{ offset: ${hex(offset)}, length: ${hex(length)} }`
    );
    const message = `${name}: the memory buffer of ${device.address} is planned as slices: [${
      slices.join(", ")
    }], by the inventory; export asks no controller, and refuses`;
    return hostFinding(code, rule.region?.at ?? rule.at, message);
  });
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
