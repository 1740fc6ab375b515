/**
 * What a reset of a planned grant's device would hit besides it: a hot reset hits all functions of a
 * slot or bus, one of a physical function its virtual ones.
 *
 * @module
 */
import { DomainMembers } from "./domain_members.ts";
import type { Plan, PlannedGrant } from "./plan.ts";
import { resetThrough } from "./reset_domain.ts";

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
  readonly #members: DomainMembers;

  /** @param plan all of it */
  constructor(plan: Plan) {
    this.#members = new DomainMembers(plan);
  }

  /**
   * The reset domain of a grant, as far as the snapshot tells.
   *
   * @param grant of the plan
   * @returns by address; the grant's own device only where it has other grants
   */
  of(grant: PlannedGrant): readonly DomainFunction[] {
    return this.toldOf(grant, Infinity).functions;
  }

  /**
   * The same in a length that can be read: the domains of a thousand grants that are all reset
   * together are a million.
   *
   * @param grant of the plan
   * @param limit the most grants, and functions without, that are told
   */
  toldOf(grant: PlannedGrant, limit = TOLD): ToldDomain {
    const { device } = grant;
    const above = new Set(device.above);
    const functions: DomainFunction[] = [];
    let left = limit;
    for (const { place, driver } of this.#members.around(device)) {
      if (left <= 0) break;
      const { address } = place;
      const isOwn = address === device.address;
      const on = this.#members.grantsOn(address);
      const others = isOwn ? on.filter((other) => other !== grant) : on;
      if (isOwn && others.length === 0) continue;
      const through = isOwn ? address : resetThrough(device, above, place) ?? address;
      const grants = others.slice(0, left);
      functions.push({ address, through, ...(driver === undefined ? {} : { driver }), grants });
      left -= Math.max(1, grants.length);
    }
    const all = this.#members.countAround(device);
    const alone = this.#members.grantsOn(device.address).length < 2;
    const omitted = {
      functions: all.functions - (alone ? 1 : 0) - functions.length,
      grants: all.grants - 1 - grantsOf(functions),
    };
    return omitted.functions + omitted.grants === 0 ? { functions } : { functions, omitted };
  }
}

function grantsOf(functions: readonly DomainFunction[]): number {
  return functions.reduce((sum, { grants }) => sum + grants.length, 0);
}
