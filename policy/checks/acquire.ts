/**
 * How devices are come by: a borrowed one has an owner, and its rules say that what they give can be
 * taken back only with the importer's help.
 *
 * @module
 */
import type { DeviceDraft, ExportDraft, OwnerDraft, PolicyDraft, Report } from "../draft.ts";
import { related } from "../report.ts";
import { allExports, type CheckContext, deviceOf, keyOf } from "./context.ts";

/** Checks `acquire`, `owner` and `revocation`. */
export function checkAcquire({ drafts, report }: CheckContext): void {
  for (const { devices, sound } of drafts) {
    for (const device of devices.values()) {
      // Where keys are misspelt, what seems to be absent may be there.
      checkOwner(device, sound, report);
    }
  }
  checkOneWay(drafts.flatMap((draft) => [...draft.devices.values()]), report);
  for (const { policy, rule } of allExports(drafts)) checkExport(policy, rule, report);
}

function checkOwner(device: DeviceDraft, sound: boolean, report: Report): void {
  const { name, acquire, owner } = device;
  if (acquire.value === "unread") return;
  if (acquire.value === "open") {
    if (owner === undefined) return;
    const message = `Cannot have an owner of ${name}: Bargate opens the device itself`;
    report("BG1702", owner.at, message);
  } else if (sound && owner === undefined) {
    report("BG1701", acquire.at, `Cannot borrow ${name}: nothing says from whom`);
  } else if (sound && owner !== undefined) {
    checkInParticular(owner, device, report);
  }
}

function checkInParticular(owner: OwnerDraft, { name, at }: DeviceDraft, report: Report): void {
  const { unit, pidFile, executable, user, socket } = owner;
  if (unit !== undefined || pidFile !== undefined) return;
  if (user !== undefined && (executable ?? socket) !== undefined) return;
  // Whoever may make files there can listen on a path.
  const given = Object.entries({ executable, socket, user }).flatMap(([name, field]) =>
    field === undefined ? [] : name
  ).join(" and ");
  const other = user === undefined ? "user" : "executable, socket";
  const fix = `add ${other}, unit or pidFile`;
  const place = related(at, "the borrowed device");
  const message = `Cannot tell the owner of ${name} by its ${given} alone`;
  report("BG1703", owner.at, message, { fix, related: [place] });
}

/** Names of one device must agree: it has one owner. */
function checkOneWay(devices: readonly DeviceDraft[], report: Report): void {
  const first = new Map<string, DeviceDraft>();
  for (const device of devices) {
    if (device.acquire.value === "unread") continue;
    const known = first.get(keyOf(device));
    if (known === undefined) {
      first.set(keyOf(device), device);
    } else if (known.acquire.value !== device.acquire.value) {
      const message =
        `Cannot both open and borrow a device: ${device.name} and ${known.name} have the same match`;
      const place = related(known.at, `${known.name} is acquired by ${known.acquire.value}`);
      report("BG1704", device.at, message, { related: [place] });
    }
  }
}

function checkExport(policy: PolicyDraft, rule: ExportDraft, report: Report): void {
  const device = deviceOf(policy, rule.device);
  if (device === undefined) return;
  const { revocation, collateral } = rule;
  const name = rule.name?.value ?? "this export";
  if (device.acquire.value === "borrow") {
    if (collateral !== undefined) {
      const message = `Ending ${name} ends no other grant: ${device.name} is borrowed`;
      report("BG1605", collateral.at, message);
    }
    if (revocation !== undefined || !policy.sound) return;
    const place = related(device.acquire.at, "borrowed here");
    const message =
      `Cannot take back ${name} without the importer's help: ${device.name} is borrowed`;
    report("BG1603", rule.at, message, { related: [place], fix: "add revocation: cooperative" });
  } else if (device.acquire.value === "open" && revocation !== undefined) {
    const message = `Bargate needs nobody's help to take back ${name}: it opens ${device.name}`;
    report("BG1604", revocation.at, message);
  }
}
