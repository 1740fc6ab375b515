/**
 * Revocability is stated, not assumed: a grant can be ended for good only by closing its device,
 * which ends and renews the device's other grants. A rule must say that it accepts this, unless its
 * grant is the device's only one.
 *
 * @module
 */
import type { ExportDraft } from "../draft.ts";
import type { Related } from "../diagnostic.ts";
import { related } from "../report.ts";
import {
  allExports,
  type CheckContext,
  deviceOf,
  type ExportInPolicy,
  keyOfDevice,
} from "./context.ts";

const FIX = "add collateral: device";

/** Checks the exports of each device that Bargate opens together. */
export function checkRevocability({ drafts, report }: CheckContext): void {
  for (const rules of byDevice(allExports(drafts)).values()) {
    if (countGrants(rules) < 2) continue;
    const restoring = rules.find((rule) => rule.onReset.value === "restore");
    for (const rule of rules) {
      if (rule.collateral !== undefined) continue;
      if (restoring !== undefined && rule.onReset.value === "revoke") {
        const message = `Cannot revoke ${nameOf(rule)} on reset: ending it ends and renews ${
          nameOf(restoring)
        }, which is to be restored`;
        const place = related(restoring.onReset.at, "restored on reset");
        report("BG1601", rule.onReset.at, message, { related: [place], fix: FIX });
      } else {
        const message = `Cannot take back the grants of ${
          nameOf(rule)
        } alone: ending one closes the device for the others`;
        report("BG1602", rule.at, message, { related: otherGrant(rule, rules), fix: FIX });
      }
    }
  }
}

function nameOf(rule: ExportDraft): string {
  return rule.name?.value ?? "this export";
}

function byDevice(exports: readonly ExportInPolicy[]): ReadonlyMap<string, ExportDraft[]> {
  const groups = new Map<string, ExportDraft[]>();
  for (const { policy, rule } of exports) {
    if (deviceOf(policy, rule.device)?.acquire.value !== "open") continue;
    const key = keyOfDevice(policy, rule.device);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [rule]);
    else group.push(rule);
  }
  return groups;
}

function importerNames(rule: ExportDraft): ReadonlySet<string> {
  return new Set(rule.importers.map((name) => name.value));
}

/** Each importer of each export gets one grant. */
function countGrants(rules: readonly ExportDraft[]): number {
  return rules.reduce((count, rule) => count + importerNames(rule).size, 0);
}

/** Where another grant of the device comes from. */
function otherGrant(rule: ExportDraft, rules: readonly ExportDraft[]): readonly Related[] {
  const other = rules[0] === rule ? rules[1] : rules[0];
  if (other !== undefined) return [related(other.at, "another grant of the device")];
  const second = rule.importers[1];
  return second === undefined ? [] : [related(second.at, "another grant of the device")];
}
