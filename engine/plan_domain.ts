/**
 * What a reset of a planned grant's device would hit besides it: a hot reset hits all functions of a
 * slot or bus, one of a physical function its virtual ones.
 *
 * @module
 */
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

/**
 * The reset domain of a grant, as far as the snapshot tells.
 *
 * @param grant of the plan
 * @param plan all of it
 * @returns by address; the grant's own device only where it has other grants
 */
export function resetDomainOf(grant: PlannedGrant, plan: Plan): readonly DomainFunction[] {
  const { device } = grant;
  const domain = new Map<string, DomainFunction>();
  const add = (address: string, through: string, driver?: string): void => {
    const grants = plan.grants.filter((it) => it !== grant && it.device.address === address);
    if (address === device.address && grants.length === 0) return;
    const bound = grants.length > 0 || driver === undefined ? {} : { driver };
    domain.set(address, { address, through, ...bound, grants });
  };
  add(device.address, device.address);
  for (const { address, through, driver } of plan.neighbours.get(device.address) ?? []) {
    add(address, through, driver);
  }
  const planned = plan.grants.map((each) => each.device);
  for (const { address, through } of hitTogether(device, planned)) add(address, through);
  return [...domain.values()].sort((a, b) => a.address < b.address ? -1 : 1);
}
