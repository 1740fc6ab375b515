/**
 * What a reset of a planned grant's device would hit besides it: a hot reset hits all functions of a
 * slot or bus, one of a physical function its virtual ones.
 *
 * @module
 */
import { comparePciAddresses } from "../host/address.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { Plan, PlannedGrant } from "./plan.ts";
import { hitTogether } from "./reset_domain.ts";

/** A function of the reset domain, with the planned grants on it. */
export interface DomainFunction {
  readonly address: string;
  /** Whose reset hits both: a physical function, a bridge above both, or the device itself. */
  readonly through: string;
  /** What is bound to a function that the plan exports nothing from; absent: nothing, or it does. */
  readonly driver?: string;
  /** Empty: the plan exports nothing from it. */
  readonly grants: readonly PlannedGrant[];
}

/** A reset domain, or as much of it as is told. */
export interface ToldDomain {
  readonly functions: readonly DomainFunction[];
  /** What is not told; absent: all is. */
  readonly omitted?: {
    /** Functions that are not told at all. */
    readonly functions: number;
    /** Planned grants that are not told. */
    readonly grants: number;
  };
}

/** So many functions without grants, and grants, are told of each reset domain. */
const TOLD = 32;

/** The reset domains of a plan's grants. */
export class ResetDomains {
  readonly #grants: ReadonlyMap<string, readonly PlannedGrant[]>;
  /** By the address of a device: itself and the others, by address. */
  readonly #functions = new Map<string, readonly Omit<DomainFunction, "grants">[]>();

  /** @param plan all of it */
  constructor(private readonly plan: Plan) {
    this.#grants = Map.groupBy(plan.grants, ({ device }) => device.address);
  }

  /**
   * The reset domain of a grant, as far as the snapshot tells.
   *
   * @param grant of the plan
   * @returns by address; the grant's own device only where it has other grants
   */
  of(grant: PlannedGrant): readonly DomainFunction[] {
    return this.#around(grant.device).flatMap(({ driver, ...where }) => {
      const isOwn = where.address === grant.device.address;
      const on = this.#grants.get(where.address) ?? [];
      const grants = isOwn ? on.filter((other) => other !== grant) : on;
      if (isOwn && grants.length === 0) return [];
      const bound = grants.length > 0 || driver === undefined ? {} : { driver };
      return { ...where, ...bound, grants };
    });
  }

  /**
   * The same in a length that can be read: the domains of a thousand grants that are all reset
   * together are a million.
   *
   * @param grant of the plan
   * @param limit the most grants, and functions without, that are told
   */
  toldOf(grant: PlannedGrant, limit = TOLD): ToldDomain {
    const all = this.of(grant);
    const functions: DomainFunction[] = [];
    let left = limit;
    for (const each of all) {
      if (left <= 0) break;
      const grants = each.grants.slice(0, left);
      functions.push({ ...each, grants });
      left -= Math.max(1, grants.length);
    }
    const omitted = {
      functions: all.length - functions.length,
      grants: grantsOf(all) - grantsOf(functions),
    };
    return omitted.functions + omitted.grants === 0 ? { functions } : { functions, omitted };
  }

  #around(device: DeviceTarget): readonly Omit<DomainFunction, "grants">[] {
    const known = this.#functions.get(device.address);
    if (known !== undefined) return known;
    const { address } = device;
    const found = new Map<string, Omit<DomainFunction, "grants">>([
      [address, { address, through: address }],
    ]);
    for (const { address, through, driver } of this.plan.neighbours.get(device.address) ?? []) {
      found.set(address, { address, through, ...(driver === undefined ? {} : { driver }) });
    }
    const planned = [...this.#grants.values()].flatMap(([first]) => first?.device ?? []);
    for (const hit of hitTogether(device, planned)) found.set(hit.address, hit);
    const sorted = [...found.values()].sort((a, b) => comparePciAddresses(a.address, b.address));
    this.#functions.set(device.address, sorted);
    return sorted;
  }
}

function grantsOf(functions: readonly DomainFunction[]): number {
  return functions.reduce((sum, { grants }) => sum + grants.length, 0);
}
