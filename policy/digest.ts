/**
 * The digest of what policies mean: equal for files that mean the same, however they are written.
 *
 * @module
 */
import type {
  DenyRule,
  DeviceRule,
  ExportRule,
  ImporterDevice,
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
  if (forms.length < 2) return forms;
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

function deviceForm({ name, match, acquire, owner, many, enableCmb }: DeviceRule): unknown {
  const whose = owner === undefined ? null : ownerForm(owner);
  const also = [many === undefined ? [] : "many", enableCmb === undefined ? [] : "enableCmb"];
  return [name, acquire, deviceKey(match), whose, ...also.flat()];
}

function ownerForm({ unit, user, executable, pidFile, socket }: OwnerIdentity): unknown {
  return [unit, user, executable, pidFile, socket].map((field) => field?.value ?? null);
}

function importerForm({ name, identity, driver, mapping, device }: ImporterRule): unknown {
  const { user, group, unit, cgroup, executable, sha256 } = identity;
  const who = [user, group, unit, cgroup, executable, sha256].map((field) => field?.value ?? null);
  // What is absent leaves no trace, so that a digest outlives a language that learns a key.
  return [name, who, driver.value, mapping, ...(device === undefined ? [] : [whereOf(device)])];
}

function whereOf({ address, id, rdma, drm, nvme }: ImporterDevice): unknown {
  return [address, id, rdma, drm, nvme].map((field) => field ?? null);
}

function sliceForm({ offset, length }: SliceRule): unknown {
  return [offset.toString(16), length === "rest" ? length : length.toString(16)];
}

/** A list: names of fields would be most of what is hashed. */
function exportForm(rule: ExportRule): unknown {
  return [
    rule.name,
    rule.device.value,
    rule.bar.value,
    rule.slices.map(sliceForm),
    inOrder(rule.importers.map((name) => name.value)),
    rule.access,
    rule.onReset,
    rule.graceMs,
    rule.expiresMs ?? null,
    rule.collateral ?? null,
    rule.revocation ?? null,
    rule.shared ?? false,
    inOrder(rule.allowProtected.map(({ range, reason }) => [range, reason])),
    ...(rule.region === undefined ? [] : [rule.region.value]),
  ];
}

function denyForm(rule: DenyRule): unknown {
  const slices = rule.slices === undefined ? null : inOrder(rule.slices.map(sliceForm));
  return [rule.device.value, rule.bar ?? null, slices, rule.reason];
}
