/**
 * Which functions are in the reset domains of a plan, without a list for each device: those behind one
 * bridge are all in the domains of each other, and such lists would grow as the square of their number.
 *
 * @module
 */
import { comparePciAddresses } from "../host/address.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { DevicePlace } from "./observers/device_files.ts";
import type { Plan, PlannedGrant } from "./plan.ts";

/** A function of a reset domain. */
export interface DomainMember {
  /** Where it is, as far as that says why it is in the domain. */
  readonly place: Pick<DevicePlace, "address" | "physfn" | "above">;
  /** What is bound to it; absent: nothing, or the plan exports from it. */
  readonly driver?: string;
}

/** How much is in a reset domain. */
export interface DomainCount {
  readonly functions: number;
  readonly grants: number;
}

const NOTHING: DomainCount = { functions: 0, grants: 0 };

/**
 * Finds what is reset together with planned devices: what the host says of each (`domainsIn`), and the
 * planned devices below any bridge above it.
 */
export class DomainMembers {
  readonly #grants: ReadonlyMap<string, readonly PlannedGrant[]>;
  /** Planned devices, by the bridge above them that is next to the root, each list by address. */
  readonly #underTop: ReadonlyMap<string | undefined, readonly DomainMember[]>;
  /** How much is planned below each bridge. */
  readonly #below = new Map<string, DomainCount>();
  /** Of each list of the host's functions. */
  readonly #counts = new Map<readonly SnapshotFunction[], DomainCount>();

  /** @param plan all of it */
  constructor(private readonly plan: Plan) {
    this.#grants = Map.groupBy(plan.grants, ({ device }) => device.address);
    const devices = [...this.#grants.values()].flatMap(([first]) => first?.device ?? [])
      .sort((a, b) => comparePciAddresses(a.address, b.address));
    for (const { address, above } of devices) {
      for (const bridge of above) this.#below.set(bridge, this.#with(address, this.#under(bridge)));
    }
    const members = devices.map((place) => ({ place }));
    this.#underTop = Map.groupBy(members, ({ place }) => place.above.at(-1));
  }

  /** @returns the planned grants on a function */
  grantsOn(address: string): readonly PlannedGrant[] {
    return this.#grants.get(address) ?? [];
  }

  /**
   * Goes through a device's reset domain.
   *
   * @param device planned
   * @returns each function once, itself too, by address; made when it is asked for
   */
  around({ address, above }: DeviceTarget): Iterable<DomainMember> {
    const bus = above.slice(0, 1);
    const top = above.at(-1);
    return merged(
      this.#onHost(address).values().map((entry) => this.#member(entry, bus)),
      (top === undefined ? [] : this.#underTop.get(top) ?? []).values(),
    );
  }

  /** @returns how much a device's domain has, itself included */
  countAround({ address, above }: DeviceTarget): DomainCount {
    const onHost = this.#onHost(address);
    const near = this.#counts.get(onHost) ?? this.#countOf(onHost);
    this.#counts.set(onHost, near);
    const [bus, top] = [this.#under(above.at(0)), this.#under(above.at(-1))];
    return {
      functions: near.functions + top.functions - bus.functions,
      grants: near.grants + top.grants - bus.grants,
    };
  }

  #onHost(address: string): readonly SnapshotFunction[] {
    return this.plan.domains.get(address) ?? [];
  }

  #member({ address, physfn, driver }: SnapshotFunction, above: readonly string[]): DomainMember {
    const place = { address, above, ...(physfn === undefined ? {} : { physfn }) };
    const isBound = driver !== undefined && !this.#grants.has(address);
    return { place, ...(isBound ? { driver } : {}) };
  }

  #under(bridge: string | undefined): DomainCount {
    return (bridge === undefined ? undefined : this.#below.get(bridge)) ?? NOTHING;
  }

  #countOf(functions: readonly SnapshotFunction[]): DomainCount {
    return functions.reduce((count, { address }) => this.#with(address, count), NOTHING);
  }

  #with(address: string, { functions, grants }: DomainCount): DomainCount {
    return { functions: functions + 1, grants: grants + this.grantsOn(address).length };
  }
}

/** Both in one order; what is in both stands once. */
function* merged(
  some: Iterator<DomainMember>,
  others: Iterator<DomainMember>,
): Iterable<DomainMember> {
  let [a, b] = [some.next(), others.next()];
  while (!a.done || !b.done) {
    const order = a.done
      ? 1
      : b.done
      ? -1
      : comparePciAddresses(a.value.place.address, b.value.place.address);
    if (!a.done && order <= 0) yield a.value;
    else if (!b.done) yield b.value;
    if (order <= 0) a = some.next();
    if (order >= 0) b = others.next();
  }
}
