/**
 * What must be true of the events of a life, whatever happened: each grant has one start and one
 * end, takes only steps that a grant has, and ends for a reason that something gave it.
 *
 * @module
 */
import type { EndReason } from "../../engine/end.ts";
import type { Told } from "./life.ts";
import type { CauseKind, ExportSpec } from "./scenario.ts";
import type { Violations } from "./violations.ts";

/** Something that was done. */
export interface Deed {
  readonly kind: CauseKind;
  /** PCI address. */
  readonly device: string;
  /** `performance.now()` */
  readonly begunAt: number;
  /** Once it is over. */
  doneAt?: number;
  /** Whether it took effect, as far as who did it can tell. */
  done?: boolean;
  /** What came of it. */
  outcome?: string;
}

/** What ends grants with `onReset: revoke`: also each write that could have been a reset. */
const RESETS: readonly CauseKind[] = [
  "sysfs-reset",
  "bus-reset",
  "memory-off",
  "config-same",
  "power-state",
  "operator-function",
  "operator-decode",
];

/** What can be the cause of each reason. */
const GIVEN_BY: Readonly<Partial<Record<EndReason, readonly CauseKind[]>>> = {
  "device-reset": RESETS,
  "decode-off": ["memory-off", "operator-decode"],
  "released": ["release"],
  "importer-gone": ["kill", "exit", "hang-up"],
  "device-removed": ["unbind", "remove"],
  "shutdown": ["shutdown"],
};

/** What a life was about. */
export interface Setting {
  readonly exports: readonly ExportSpec[];
  /** All that was done, to whomever. */
  readonly deeds: readonly Deed[];
  /** The importer never had anything of it: the guardian was refused. */
  readonly refused?: boolean;
}

/** The way of a grant, as its events tell it. */
const WAY = new RegExp(
  "^planned( ended:(failed|device-removed|device-error)| exported( delivered( suspended( restored)?)*)?" +
    " revoking( means-insufficient)* ended)$",
);

/**
 * Checks the events of a life that is over.
 *
 * @param told all events of it
 * @param setting what it was about
 * @param violations takes what is wrong
 */
export function judge(told: readonly Told[], setting: Setting, violations: Violations): void {
  const grants = Map.groupBy(
    told.filter(({ event }) => event.grant !== undefined),
    ({ event }) => event.grant ?? "",
  );
  for (const [grant, steps] of grants) {
    const way = wayOf(steps);
    violations.unless(WAY.test(way), () => `grant ${grant} went its own way: ${way}`);
    judgeReason(steps, told, setting, violations);
  }
  for (const { event } of told) {
    violations.unless(event.type !== "late", () => `late: ${event.cause?.detail}`);
  }
  judgeDevices(told, violations);
}

/** Only of what was never exported may it be said that it failed, or that its device has gone. */
function wayOf(steps: readonly Told[]): string {
  return steps.map(({ event: { type, reason, means } }) =>
    type === "ended" && means === undefined ? `ended:${reason}` : type
  ).join(" ");
}

/** A renewal that its device did not live to see. */
function notRenewed(end: Told | undefined): Told | undefined {
  return end?.event.cause?.source === "renewal" && end.event.reason !== "failed" ? end : undefined;
}

function judgeReason(
  steps: readonly Told[],
  told: readonly Told[],
  { exports, deeds, refused }: Setting,
  violations: Violations,
): void {
  const end = steps.find(({ event }) => event.type === "ended");
  const begin = steps.find(({ event }) => event.type === "revoking") ?? notRenewed(end);
  if (begin === undefined || end === undefined) return;
  const { reason, cause, device, export: of } = begin.event;
  const wrong = (why: string) =>
    violations.add(`${of} (${begin.event.grant}) ended as ${reason}, ${why}`);
  if (end.event.reason !== reason) wrong(`and at last as ${end.event.reason}`);
  if (cause?.source === "collateral") {
    const other = told.some(({ event, at }) =>
      at <= begin.at && event.type === "revoking" && event.device === device &&
      event.reason === reason && event.cause?.source !== "collateral"
    );
    if (!other) wrong("with another grant that did not");
    return;
  }
  const spec = exports.find(({ name }) => of === `causes/${name}`);
  if (spec === undefined) return wrong("and is nobody's");
  if (reason === "failed" && refused) return;
  if (reason === "expired") {
    if (!hasExpired(spec, begin, told)) wrong("before its time");
    return;
  }
  if ((reason === "device-reset" || reason === "decode-off") && spec.onReset === "restore") {
    wrong("although it is to be restored");
  }
  const given = reason === undefined ? [] : GIVEN_BY[reason] ?? [];
  const ofDevice = reason?.startsWith("device-") || reason === "decode-off";
  const was = deeds.some((deed) =>
    given.includes(deed.kind) && deed.begunAt <= begin.at && (!ofDevice || deed.device === device)
  );
  // A program that has nothing for a moment is made to end by who plays it.
  const gone = reason === "importer-gone" &&
    told.some(({ event, at }) =>
      at <= begin.at && event.type === "importer-ended" && event.cause?.source === "pidfd"
    );
  if (!was && !gone) wrong(`and nobody gave a reason (${cause?.source}: ${cause?.detail})`);
}

/** The time runs from the first export of the life; timers may be a little early. */
function hasExpired({ expiresMs, name }: ExportSpec, begin: Told, told: readonly Told[]): boolean {
  const first = told.find(({ event }) =>
    event.type === "exported" && event.export === `causes/${name}`
  );
  return expiresMs !== undefined && first !== undefined && begin.at - first.at >= expiresMs - 20;
}

/** Opened and closed in turns, and closed at last. */
function judgeDevices(told: readonly Told[], violations: Violations): void {
  const devices = Map.groupBy(
    told.filter(({ event: { type } }) => type === "device-opened" || type === "device-closed"),
    ({ event }) => event.device ?? "",
  );
  for (const [device, turns] of devices) {
    const way = turns.map(({ event }) => event.type === "device-opened" ? "o" : "c").join("");
    violations.unless(/^(oc)+$/.test(way), () => `${device} was opened and closed as ${way}`);
  }
}

/**
 * Grants that stand although something was done that ends them.
 *
 * @param told events of a life that goes on
 * @param setting what it is about
 * @returns ids, with what should have ended them
 */
export function overdue(told: readonly Told[], { exports, deeds }: Setting): readonly string[] {
  const found: string[] = [];
  const now = performance.now();
  for (const { event, at } of standing(told)) {
    const spec = exports.find(({ name }) => event.export === `causes/${name}`);
    const deed = deeds.find((deed) =>
      deed.done && deed.begunAt > at && deed.device === event.device &&
      (deed.kind === "unbind" || deed.kind === "remove" ||
        spec?.onReset === "revoke" && RESETS.includes(deed.kind))
    );
    if (deed !== undefined) found.push(`${event.export} (${event.grant}) after ${deed.kind}`);
    if (spec?.expiresMs !== undefined && now - at > spec.expiresMs + spec.graceMs) {
      found.push(`${event.export} (${event.grant}) after its time`);
    }
  }
  return found;
}

/** @returns the export of each grant of which no end has been told */
export function standing(told: readonly Told[]): readonly Told[] {
  const ended = new Set(
    told.filter(({ event }) => event.type === "ended").map(({ event }) => event.grant),
  );
  return told.filter(({ event }) => event.type === "exported" && !ended.has(event.grant));
}

/** @returns whether the end of a grant has begun, and no end was told */
export function isEnding(told: readonly Told[]): boolean {
  const standingNow = new Set(standing(told).map(({ event }) => event.grant));
  return told.some(({ event }) => event.type === "revoking" && standingNow.has(event.grant));
}
