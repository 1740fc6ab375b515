/**
 * What holds of a policy's device for one PCI function, field by field. A field that could not be read
 * neither holds nor fails.
 *
 * @module
 */
import { serialOf } from "../host/serial.ts";
import { NO_RIGHT, type SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceMatch } from "../policy/model.ts";

/** A field by which a policy tells devices apart. */
export type MatchField = keyof Omit<DeviceMatch, "at">;

/** One field of a match that does not hold for a function. */
export interface Mismatch {
  readonly field: MatchField;
  /** What the function has instead. */
  readonly has: string;
}

/** `unknown`: it may hold. */
export type Answer = boolean | "unknown";

const FIELDS = [
  "address",
  "id",
  "subsystem",
  "class",
  "serial",
  "driver",
  "iommuGroup",
  "numaNode",
  "barSizes",
] as const satisfies readonly MatchField[];

/** `vvvv:dddd` of a function. */
export function idOf(entry: SnapshotFunction): string {
  return `${entry.vendor}:${entry.device}`;
}

/**
 * @param entry any function
 * @param match of a policy's device
 * @returns `unknown` if no field fails and one of them could not be read
 */
export function fits(entry: SnapshotFunction, match: DeviceMatch): Answer {
  let answer: Answer = true;
  for (const field of FIELDS) {
    if (match[field] === undefined) continue;
    const holds = fieldHolds(entry, match, field);
    if (holds === false) return false;
    if (holds === "unknown") answer = "unknown";
  }
  return answer;
}

/**
 * @param entry any function
 * @param match of a policy's device
 * @returns the fields that do not hold, and what the function has instead
 */
export function mismatches(entry: SnapshotFunction, match: DeviceMatch): readonly Mismatch[] {
  return FIELDS.filter((field) => fieldHolds(entry, match, field) === false)
    .map((field) => ({ field, has: valueOf(entry, match, field) }));
}

/**
 * Why nobody can tell whether a function is a device.
 *
 * @param entry a function of which no field fails, and some could not be read
 * @param match of a policy's device
 * @returns what is not known of it, and which right reading it would have taken
 */
export function whyUnjudged(entry: SnapshotFunction, match: DeviceMatch): string {
  const unknown = FIELDS.filter((field) => fieldHolds(entry, match, field) === "unknown");
  const what = unknown.map((field) => FIELD_WORDS[field] ?? field).join(" and ");
  const needed = new Set(unknown.map((field) => rightFor(entry, field)));
  needed.delete(NO_RIGHT);
  const rights = [...needed].join(" and ");
  const many = unknown.length > 1 || unknown.includes("barSizes");
  const head = `its ${what} ${many ? "are" : "is"} not known`;
  return unknown.includes("serial") && rightFor(entry, "serial") !== NO_RIGHT
    ? `${head}, for only ${entry.config.length} bytes of its configuration space could be read; the rest needs ${rights}`
    : needed.size === 0
    ? `${head}, for what the host says of it makes no sense`
    : `${head}, for ${many ? "they" : "it"} could not be read; that needs ${rights}`;
}

const FIELD_WORDS: Readonly<Partial<Record<MatchField, string>>> = {
  serial: "serial number",
  iommuGroup: "IOMMU group",
  numaNode: "NUMA node",
  barSizes: "BAR sizes",
};

function fieldHolds(entry: SnapshotFunction, match: DeviceMatch, field: MatchField): Answer {
  switch (field) {
    case "serial":
      return serialHolds(entry, match);
    case "id":
      return anyOf(match.id, (value) => value === idOf(entry));
    case "class":
      return anyOf(match.class, (value) => entry.class.startsWith(value));
    case "barSizes":
      return barsHold(entry, match);
    default:
      return listed<string | number>(entry, field, match[field]);
  }
}

function listed<T extends string | number>(
  entry: SnapshotFunction,
  field: "address" | "subsystem" | "driver" | "iommuGroup" | "numaNode",
  wanted: readonly T[] | undefined,
): Answer {
  if (wanted === undefined || wanted.some((value) => value === entry[field])) return true;
  return entry[field] === undefined && isUnread(entry, field) ? "unknown" : false;
}

function serialHolds(entry: SnapshotFunction, { serial }: DeviceMatch): Answer {
  if (serial === undefined) return true;
  const found = serialOf(entry);
  if (found.is === "unreadable") return "unknown";
  return found.is === "known" && serial.includes(found.serial);
}

/** A BAR that is not there has not been implemented, or could not be read. */
function barsHold(entry: SnapshotFunction, { barSizes }: DeviceMatch): Answer {
  const answers = [...barSizes ?? []].map(([index, sizes]): Answer => {
    const bar = entry.bars.find((each) => each.index === index);
    if (bar !== undefined) return sizes.includes(bar.size);
    return isUnread(entry, "bars") ? "unknown" : false;
  });
  return answers.find((each) => each === false) ??
    answers.find((each) => each === "unknown") ?? true;
}

function isUnread({ unreadable }: SnapshotFunction, wanted: string): boolean {
  return unreadable.some(({ field }) => field === wanted);
}

function rightFor(entry: SnapshotFunction, field: MatchField): string {
  if (field === "serial") {
    const found = serialOf(entry);
    return found.is === "unreadable" ? found.right : "";
  }
  const name = field === "barSizes" ? "bars" : field;
  return entry.unreadable.find((each) => each.field === name)?.right ?? "";
}

function valueOf(entry: SnapshotFunction, { barSizes }: DeviceMatch, field: MatchField): string {
  switch (field) {
    case "id":
      return idOf(entry);
    case "serial": {
      const found = serialOf(entry);
      return found.is === "known" ? found.serial : "none";
    }
    case "barSizes": {
      const bars = entry.bars.filter(({ index }) => barSizes?.has(index));
      return bars.map(({ index, size }) => `${index}: ${size}`).join(", ") || "none";
    }
    default:
      return String(entry[field] ?? "none");
  }
}

/** A field that is not given holds; a list holds if one of it does. */
function anyOf<T>(values: readonly T[] | undefined, holds: (value: T) => boolean): boolean {
  return values === undefined || values.some(holds);
}
