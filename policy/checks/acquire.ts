/**
 * How devices are come by: a borrowed one has an owner, and its rules say that what they give can be
 * taken back only with the importer's help.
 *
 * @module
 */
import type { DeviceDraft, ExportDraft, OwnerDraft, PolicyDraft, Report } from "../draft.ts";
import { comparePlaces } from "../position.ts";
import { related } from "../report.ts";
import {
  allExports,
  type CheckContext,
  deviceOf,
  isOpened,
  keyOf,
  type Matched,
  wholeMatch,
  widerOf,
} from "./context.ts";

/** Checks `acquire`, `owner` and `revocation`. */
export function checkAcquire(context: CheckContext): void {
  const { drafts, report } = context;
  for (const { devices, sound } of drafts) {
    for (const device of devices.values()) {
      // Where keys are misspelt, what seems to be absent may be there.
      checkOwner(device, sound, report);
    }
  }
  checkOneWay(context);
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

/** A device with the policy that names it. */
interface NamedDevice {
  readonly device: DeviceDraft;
  readonly name: string;
}

/** Names of one device, of those that are exported from, must agree: it has one owner. */
function checkOneWay({ drafts, report }: CheckContext): void {
  const first = new Map<string, Matched<NamedDevice>>();
  for (const [device, policy] of exported(drafts)) {
    if (wayOf(device) === undefined) continue;
    const key = keyOf(device);
    const own = { device, name: `${policy.name?.value ?? "this policy"}/${device.name}` };
    const known = first.get(key)?.value;
    if (known === undefined) first.set(key, { match: wholeMatch(policy, device), value: own });
    else {
      checkPair(own, known, "the same match", report);
      checkMany(own, known, report);
    }
  }
  const all = [...first.values()];
  const wider = widerOf(all);
  for (const narrow of all) {
    wider(narrow).find((wide) =>
      checkPair(narrow.value, wide, "a match that implies the other's", report)
    );
  }
}

/** In order of places. */
function exported(
  drafts: readonly PolicyDraft[],
): readonly (readonly [DeviceDraft, PolicyDraft])[] {
  const devices = new Map(
    allExports(drafts).flatMap(({ policy, rule }) => {
      const device = deviceOf(policy, rule.device);
      return device === undefined ? [] : [[device, policy] as const];
    }),
  );
  return [...devices].sort(([a], [b]) => comparePlaces(a.at, b.at));
}

/** Equal for devices that are come by in the same way; absent: nobody can tell. */
function wayOf({ acquire, owner }: DeviceDraft): string | undefined {
  if (acquire.value === "open") return acquire.value;
  if (acquire.value === "unread" || owner === undefined) return undefined;
  const { unit, user, executable, pidFile, socket } = owner;
  return JSON.stringify([unit, user, executable, pidFile, socket].map((field) => field?.value));
}

function checkPair(
  { device, name }: NamedDevice,
  known: NamedDevice,
  matches: string,
  report: Report,
): boolean {
  if (wayOf(device) === wayOf(known.device)) return false;
  const { value: acquire } = known.device.acquire;
  const both = device.acquire.value === acquire
    ? "Cannot borrow a device from two owners"
    : "Cannot both open and borrow a device";
  const message = `${both}: ${name} and ${known.name} have ${matches}`;
  const place = related(known.device.at, `${known.name} is acquired by ${acquire}`);
  report("BG1704", device.at, message, { related: [place] });
  return true;
}

function checkMany({ device, name }: NamedDevice, known: NamedDevice, report: Report): void {
  if ((device.many === undefined) === (known.device.many === undefined)) return;
  const [many, alone] = device.many === undefined ? [known.name, name] : [name, known.name];
  const message = `${many} may be many devices, and ${alone} must be one, by the same match`;
  const place = related(known.device.at, `${known.name} has the same match`);
  report("BG1713", device.at, message, { related: [place] });
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
  } else if (revocation !== undefined && isOpened(device)) {
    const message = `Bargate needs nobody's help to take back ${name}: it opens ${device.name}`;
    report("BG1604", revocation.at, message);
  }
}
