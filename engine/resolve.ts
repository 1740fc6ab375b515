/**
 * Which PCI function of a host a policy's device is.
 *
 * @module
 */
import { serialOf } from "../host/serial.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceMatch } from "../policy/model.ts";
import { fits, idOf, type Mismatch, mismatches } from "./match_fields.ts";

/** What a host has of a policy's device. */
export interface Matching {
  /** Functions of which all holds that the policy says, in the snapshot's order. */
  readonly found: readonly SnapshotFunction[];
  /** Functions of which nothing fails, and something that the policy says could not be read. */
  readonly unjudged: readonly SnapshotFunction[];
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
      const answer = fits(entry, match);
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

  /**
   * The functions of the kind that a match means, whatever else of it they lack: by id and class where
   * it gives them, else those at its addresses and of its subsystem.
   *
   * @param match what a policy says of its device
   */
  ofKind(match: DeviceMatch): readonly SnapshotFunction[] {
    const { id, class: kind } = match;
    const at = match.at;
    if (id !== undefined || kind !== undefined) {
      const only = { ...(id && { id }), ...(kind && { class: kind }), at };
      return this.#candidates(only).filter((entry) => fits(entry, only) === true);
    }
    const { address, subsystem } = match;
    return [
      ...new Set(this.#sharing({
        ...(address && { address }),
        ...(subsystem && { subsystem }),
        at,
      })),
    ];
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

  /** Each once, however often a list names it, and in one order, however the list is written. */
  #candidates(match: DeviceMatch): readonly SnapshotFunction[] {
    const { address, id } = match;
    if (address !== undefined) return byAddress(address, (each) => this.#byAddress.get(each) ?? []);
    if (id !== undefined) return byAddress(id, (each) => this.#byId.get(each) ?? []);
    return this.snapshot.functions;
  }
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

function byAddress(
  keys: readonly string[],
  find: (key: string) => SnapshotFunction | readonly SnapshotFunction[],
): readonly SnapshotFunction[] {
  const found = [...new Set(keys)].flatMap(find);
  if (keys.length < 2) return found;
  return found.sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
}
