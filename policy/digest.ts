/**
 * The digest of what policies say: equal for files that say the same, however they are written.
 *
 * @module
 */
import { type Interval, normalized } from "./interval.ts";
import type {
  DeviceRule,
  ExportRule,
  ImporterDevice,
  ImporterRule,
  OwnerIdentity,
  Policy,
  SliceRule,
} from "./model.ts";
import { deviceKey } from "./device_key.ts";
import { QUANTITY_LIMIT } from "./quantity.ts";
import { sha256 } from "./sha256.ts";
import { intervalOf } from "./slices.ts";

const BARS = [0, 1, 2, 3, 4, 5];

/**
 * `sha256:` and the hash of the canonical form. Places, descriptions and the order of rules do not
 * count, nor how denied bytes are cut; the order of an export's slices does, because it is the
 * buffer's layout.
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
    deny: inOrder(denyForms(policy)),
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
  return [hex(offset), length === "rest" ? length : hex(length)];
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

/**
 * Of each device and reason, the bytes of each BAR: it is the same whether they are denied as a whole,
 * in parts or twice.
 */
function denyForms({ deny }: Policy): readonly unknown[] {
  const byReason = new Map<string, { device: string; reason: string; bars: Interval[][] }>();
  for (const { device: { value: device }, bar, slices, reason } of deny) {
    const key = JSON.stringify([device, reason]);
    const form = byReason.get(key) ?? { device, reason, bars: BARS.map(() => []) };
    byReason.set(key, form);
    const intervals = slices?.map(intervalOf) ?? [{ start: 0n, end: QUANTITY_LIMIT }];
    for (const each of bar === undefined ? BARS : [bar]) {
      for (const interval of intervals) form.bars[each]?.push(interval);
    }
  }
  return [...byReason.values()].map(({ device, reason, bars }) => [
    device,
    reason,
    ...bars.map((list) => normalized(list).map(({ start, end }) => [hex(start), hex(end)])),
  ]);
}

function hex(value: bigint): string {
  return value.toString(16);
}
