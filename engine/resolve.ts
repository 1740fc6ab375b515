/**
 * Which PCI function of a host a policy's device is.
 *
 * @module
 */
import { serialOf } from "../host/serial.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceMatch } from "../policy/model.ts";

/** What a host has of a policy's device. */
export interface Matching {
  /** Functions of which all holds that the policy says, in the snapshot's order. */
  readonly found: readonly SnapshotFunction[];
  /** Functions of which all holds but the serial number, which could not be read. */
  readonly unjudged: readonly SnapshotFunction[];
}

/** One field of a match that does not hold for a function. */
export interface Mismatch {
  readonly field: keyof Omit<DeviceMatch, "at">;
  /** What the function has instead. */
  readonly has: string;
}

/** Functions by what they have in common. */
type Groups = ReadonlyMap<string | undefined, readonly SnapshotFunction[]>;

/** Instead of a serial number. */
const UNREADABLE = "unreadable";

/** Functions of one host, ready to be asked for. */
export class FunctionIndex {
  readonly #byAddress: ReadonlyMap<string, SnapshotFunction>;
  readonly #byId: Groups;
  /** Made when something is missing for the first time: most hosts have all that is wanted. */
  #bySubsystem: Groups | undefined;
  #bySerial: Groups | undefined;

  constructor(private readonly snapshot: HostSnapshot) {
    this.#byAddress = new Map(snapshot.functions.map((entry) => [entry.address, entry]));
    this.#byId = Map.groupBy(snapshot.functions, idOf);
  }

  /**
   * @param match what a policy says of its device
   * @returns the functions that it is, and those that nobody can tell of
   */
  matching(match: DeviceMatch): Matching {
    const found: SnapshotFunction[] = [];
    const unjudged: SnapshotFunction[] = [];
    for (const entry of this.#candidates(match)) {
      if (!matches(entry, match)) continue;
      const answer = hasSerial(entry, match);
      if (answer === "unknown") unjudged.push(entry);
      else if (answer) found.push(entry);
    }
    return { found, unjudged };
  }

  /**
   * The functions that are almost a device, found one by one: whoever wants few looks at few.
   *
   * @param match what a policy says of a device that is not there
   * @returns those that lack one field only, and are what another says that few functions are
   */
  *nearly(match: DeviceMatch): Iterable<{ entry: SnapshotFunction; lacks: Mismatch }> {
    const seen = new Set<SnapshotFunction>();
    for (const entry of this.#sharing(match)) {
      if (seen.has(entry)) continue;
      seen.add(entry);
      const [lacks, another] = mismatches(entry, match);
      if (lacks !== undefined && another === undefined) yield { entry, lacks };
    }
  }

  /** At a given address, whatever else it is: for saying what stands there instead. */
  at(address: string): SnapshotFunction | undefined {
    return this.#byAddress.get(address);
  }

  /** Those that have one of the fields that few functions have in common, or may have it. */
  *#sharing({ address, id, subsystem, serial }: DeviceMatch): Iterable<SnapshotFunction> {
    const { functions } = this.snapshot;
    for (const each of address ?? []) {
      const entry = this.#byAddress.get(each);
      if (entry !== undefined) yield entry;
    }
    yield* among(this.#byId, id);
    if (subsystem !== undefined) {
      this.#bySubsystem ??= Map.groupBy(functions, (entry) => entry.subsystem);
      yield* among(this.#bySubsystem, subsystem);
    }
    if (serial !== undefined) {
      this.#bySerial ??= Map.groupBy(functions, serialKey);
      yield* among(this.#bySerial, [...serial, UNREADABLE]);
    }
  }

  /** Each once, however often a list names it. */
  #candidates(match: DeviceMatch): readonly SnapshotFunction[] {
    if (match.address !== undefined) {
      return [...new Set(match.address)].flatMap((address) => this.#byAddress.get(address) ?? []);
    }
    if (match.id !== undefined) {
      return [...new Set(match.id)].flatMap((id) => this.#byId.get(id) ?? []);
    }
    return this.snapshot.functions;
  }
}

/** `vvvv:dddd` of a function. */
export function idOf(entry: SnapshotFunction): string {
  return `${entry.vendor}:${entry.device}`;
}

/** Everything but the serial number, which is the only field that may be out of sight. */
function matches(entry: SnapshotFunction, match: DeviceMatch): boolean {
  return anyOf(match.address, (value) => value === entry.address) &&
    anyOf(match.id, (value) => value === idOf(entry)) &&
    anyOf(match.subsystem, (value) => value === entry.subsystem) &&
    anyOf(match.class, (value) => entry.class.startsWith(value)) &&
    anyOf(match.driver, (value) => value === entry.driver) &&
    anyOf(match.iommuGroup, (value) => value === entry.iommuGroup) &&
    anyOf(match.numaNode, (value) => value === entry.numaNode) &&
    [...match.barSizes ?? []].every(([index, sizes]) =>
      entry.bars.some((bar) => bar.index === index && sizes.includes(bar.size))
    );
}

function hasSerial(entry: SnapshotFunction, { serial }: DeviceMatch): boolean | "unknown" {
  if (serial === undefined) return true;
  const found = serialOf(entry);
  if (found.is === "unreadable") return "unknown";
  return found.is === "known" && serial.includes(found.serial);
}

/** Who cannot be judged may be the one. */
function serialKey(entry: SnapshotFunction): string | undefined {
  const found = serialOf(entry);
  if (found.is === "unreadable") return UNREADABLE;
  return found.is === "known" ? found.serial : undefined;
}

function* among(groups: Groups, keys: readonly string[] = []): Iterable<SnapshotFunction> {
  for (const key of keys) yield* groups.get(key) ?? [];
}

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
] as const;

/**
 * @param entry any function
 * @param match of a policy's device
 * @returns the fields that do not hold, and what the function has instead
 */
export function mismatches(entry: SnapshotFunction, match: DeviceMatch): readonly Mismatch[] {
  return FIELDS.filter((field) => {
    const only = { [field]: match[field], at: match.at };
    return !matches(entry, only) || hasSerial(entry, only) === false;
  }).map((field) => ({ field, has: valueOf(entry, match, field) }));
}

function valueOf(
  entry: SnapshotFunction,
  { barSizes }: DeviceMatch,
  field: Mismatch["field"],
): string {
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
