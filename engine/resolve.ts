/**
 * Which PCI function of a host a policy's device is.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceMatch } from "../policy/model.ts";

/** Functions of one host, ready to be asked for. */
export class FunctionIndex {
  readonly #byAddress = new Map<string, SnapshotFunction>();
  readonly #byId = new Map<string, SnapshotFunction[]>();

  constructor(private readonly snapshot: HostSnapshot) {
    for (const entry of snapshot.functions) {
      this.#byAddress.set(entry.address, entry);
      const id = idOf(entry);
      const same = this.#byId.get(id);
      if (same === undefined) this.#byId.set(id, [entry]);
      else same.push(entry);
    }
  }

  /**
   * @param match what a policy says of its device
   * @returns every function of which all of it holds, in the snapshot's order
   */
  matching(match: DeviceMatch): readonly SnapshotFunction[] {
    return this.#candidates(match).filter((entry) => matches(entry, match));
  }

  /** At a given address, whatever else it is: for saying what stands there instead. */
  at(address: string): SnapshotFunction | undefined {
    return this.#byAddress.get(address);
  }

  #candidates(match: DeviceMatch): readonly SnapshotFunction[] {
    if (match.address !== undefined) {
      return match.address.flatMap((address) => this.#byAddress.get(address) ?? []);
    }
    if (match.id !== undefined) return match.id.flatMap((id) => this.#byId.get(id) ?? []);
    return this.snapshot.functions;
  }
}

/** `vvvv:dddd` of a function. */
export function idOf(entry: SnapshotFunction): string {
  return `${entry.vendor}:${entry.device}`;
}

function matches(entry: SnapshotFunction, match: DeviceMatch): boolean {
  return anyOf(match.address, (value) => value === entry.address) &&
    anyOf(match.id, (value) => value === idOf(entry)) &&
    anyOf(match.subsystem, (value) => value === entry.subsystem) &&
    anyOf(match.class, (value) => entry.class.startsWith(value)) &&
    anyOf(match.driver, (value) => value === entry.driver) &&
    anyOf(match.iommuGroup, (value) => value === entry.iommuGroup) &&
    [...match.barSizes ?? []].every(([index, size]) =>
      entry.bars.some((bar) => bar.index === index && bar.size === size)
    );
}

/** A field that is not given holds; a list holds if one of it does. */
function anyOf<T>(values: readonly T[] | undefined, holds: (value: T) => boolean): boolean {
  return values === undefined || values.some(holds);
}
