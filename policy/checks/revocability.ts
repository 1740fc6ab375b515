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
  isOpened,
  keyOf,
  type Matched,
  wholeMatch,
  widerOf,
} from "./context.ts";

const FIX = "add collateral: device";

/** Rules about devices of one match. */
interface DeviceRules {
  readonly rules: ExportDraft[];
  /** Of these, the first, and the first that restores. */
  readonly samples: readonly ExportDraft[];
  /** Rules about the same device by a wider or a narrower match: one, and one that restores. */
  readonly others: ExportDraft[];
}

/** Checks the exports of each device that Bargate opens together. */
export function checkRevocability({ drafts, report }: CheckContext): void {
  for (const { rules, others } of byDevice(allExports(drafts))) {
    if (countGrants(rules) + others.length < 2) continue;
    const restoring = [...rules, ...others].find(restores);
    for (const rule of rules) {
      if (rule.collateral !== undefined || rule.unsure) continue;
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
        const place = otherGrant(rule, [...rules.slice(0, 2), ...others]);
        report("BG1602", rule.at, message, { related: place, fix: FIX });
      }
    }
  }
}

function restores({ onReset }: ExportDraft): boolean {
  return onReset.value === "restore";
}

function nameOf(rule: ExportDraft): string {
  return rule.name?.value ?? "this export";
}

function byDevice(exports: readonly ExportInPolicy[]): readonly DeviceRules[] {
  const groups = new Map<string, Matched<DeviceRules>>();
  for (const { policy, rule } of exports) {
    const device = deviceOf(policy, rule.device);
    if (device === undefined || !isOpened(device)) continue;
    const key = keyOf(device);
    const group = groups.get(key);
    if (group !== undefined) group.value.rules.push(rule);
    else {
      const value = { rules: [rule], samples: [], others: [] };
      groups.set(key, { match: wholeMatch(policy, device), value });
    }
  }
  const all = [...groups.values()].map(({ match, value }) => ({
    match,
    value: { ...value, samples: samplesOf(value.rules) },
  }));
  const wider = widerOf(all);
  for (const group of all) {
    for (const wide of wider(group)) {
      join(group.value, wide);
      join(wide, group.value);
    }
  }
  return all.map(({ value }) => value);
}

function samplesOf(rules: readonly ExportDraft[]): readonly ExportDraft[] {
  const restoring = rules.find(restores);
  return [...new Set([...rules.slice(0, 1), ...(restoring === undefined ? [] : [restoring])])];
}

/** One other is enough to tell of, and one that restores. */
function join({ others }: DeviceRules, { samples }: DeviceRules): void {
  for (const rule of samples) {
    if (others.length === 0 || restores(rule) && !others.some(restores)) others.push(rule);
  }
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
