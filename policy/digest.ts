/**
 * The digest of what policies mean: equal for files that mean the same, however they are written.
 *
 * @module
 */
import type {
  DenyRule,
  DeviceRule,
  ExportRule,
  ImporterRule,
  OwnerIdentity,
  Policy,
  SliceRule,
} from "./model.ts";
import { deviceKey } from "./device_key.ts";
import { sha256 } from "./sha256.ts";

/**
 * `sha256:` and the hash of the canonical form. Places, descriptions and the order of rules do not
 * count; the order of slices does, because it is the buffer's layout.
 */
export function digestOf(policies: readonly Policy[]): string {
  const canonical = JSON.stringify(inOrder(policies.map(policyForm)));
  return `sha256:${sha256(new TextEncoder().encode(canonical))}`;
}

/** Forms in an order of their own, so that the order written does not count. */
function inOrder(forms: readonly unknown[]): readonly unknown[] {
  const keyed = forms.map((form) => ({ form, text: JSON.stringify(form) }));
  return keyed.sort((a, b) => compareText(a.text, b.text)).map(({ form }) => form);
}

/** By code units: the same on every machine. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function policyForm(policy: Policy): unknown {
  return {
    name: policy.name,
    devices: inOrder([...policy.devices.values()].map(deviceForm)),
    importers: inOrder([...policy.importers.values()].map(importerForm)),
    exports: inOrder(policy.exports.map(exportForm)),
    deny: inOrder(policy.deny.map(denyForm)),
  };
}

function deviceForm({ name, match, acquire, owner }: DeviceRule): unknown {
  return [name, acquire, deviceKey(match), owner === undefined ? null : ownerForm(owner)];
}

function ownerForm({ unit, user, executable, pidFile }: OwnerIdentity): unknown {
  return [unit, user, executable, pidFile].map((field) => field?.value ?? null);
}

function importerForm({ name, identity, driver, mapping }: ImporterRule): unknown {
  const { user, group, unit, cgroup, executable, sha256 } = identity;
  const who = [user, group, unit, cgroup, executable, sha256].map((field) => field?.value ?? null);
  return [name, who, driver.value, mapping];
}

function sliceForm({ offset, length }: SliceRule): unknown {
  return [offset.toString(16), length === "rest" ? length : length.toString(16)];
}

function exportForm(rule: ExportRule): unknown {
  return {
    name: rule.name,
    device: rule.device.value,
    bar: rule.bar.value,
    slices: rule.slices.map(sliceForm),
    importers: inOrder(rule.importers.map((name) => name.value)),
    access: rule.access,
    onReset: rule.onReset,
    graceMs: rule.graceMs,
    expiresMs: rule.expiresMs ?? null,
    collateral: rule.collateral ?? null,
    revocation: rule.revocation ?? null,
    shared: rule.shared ?? false,
    allowProtected: inOrder(rule.allowProtected.map(({ range, reason }) => [range, reason])),
  };
}

function denyForm(rule: DenyRule): unknown {
  const slices = rule.slices === undefined ? null : inOrder(rule.slices.map(sliceForm));
  return [rule.device.value, rule.bar ?? null, slices, rule.reason];
}
