/**
 * What operators ask of a guardian's devices: resets, and what they would hit.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import { virtualFunctions } from "../host/read_function.ts";
import type { DeviceGuard } from "./device_guard.ts";
import { DomainReset } from "./domain_reset.ts";
import type { Cause } from "./event.ts";
import type { GuardedDevices } from "./guarded_devices.ts";
import { isHitWith } from "./reset_domain.ts";
import {
  type GrantHit,
  hitsOf,
  outcomeOf,
  type ResetMethod,
  type ResetOutcome,
  type ResetReach,
} from "./reset_outcome.ts";

/** Does what operators ask. */
export class OperatorDesk {
  /**
   * @param devices that are guarded
   * @param files tell which virtual functions there are
   */
  constructor(private readonly devices: GuardedDevices, private readonly files: Files) {}

  /**
   * Resets a device.
   *
   * @param address of the device
   * @param method how
   * @param detail who asked
   * @param domain whether grants of other devices may be hit
   * @returns what became of the grants, or undefined if the device is not here
   * @throws {DomainError} if grants of other devices would be hit, and must not
   * @throws {RefusedError} if the device cannot be reset
   */
  async reset(
    address: string,
    method: ResetMethod,
    detail: string,
    domain: boolean,
  ): Promise<ResetOutcome | undefined> {
    const reset = await this.#resetOf(address, method);
    return await reset?.run(domain, byOperator(detail));
  }

  /**
   * What a reset of a device would hit beyond it.
   *
   * @param address of the device
   * @param method how
   * @returns undefined if the device is not here
   * @throws {RefusedError} if the device cannot be reset
   */
  async reach(address: string, method: ResetMethod): Promise<ResetReach | undefined> {
    return await (await this.#resetOf(address, method))?.reach();
  }

  /**
   * The grants that resets of these functions would hit: on them, or on virtual functions of them.
   *
   * @param functions addresses
   */
  hitBy(functions: readonly string[]): readonly GrantHit[] {
    return this.#guardsHit(functions).flatMap((guard) => hitsOf(guard));
  }

  /**
   * Ends the grants that a reset of these functions ends; another process makes the reset.
   *
   * @param functions addresses
   * @param detail who asked
   * @returns what became of the grants; those that a reset does not end are `restored`
   */
  async makeWay(functions: readonly string[], detail: string): Promise<ResetOutcome> {
    const cause = byOperator(detail);
    const ways = this.#guardsHit(functions).map(async ({ session, observed }) => ({
      device: session.target.address,
      grants: await observed.makeWay(cause),
    }));
    return outcomeOf(await Promise.all(ways));
  }

  #guardsHit(functions: readonly string[]): readonly DeviceGuard[] {
    return this.devices.all.filter(({ session }) => isHitWith(session.target, functions));
  }

  /** A device that was closed, with all its grants, can be another guardian's by now. */
  async #resetOf(address: string, method: ResetMethod): Promise<DomainReset | undefined> {
    const guard = this.devices.at(address);
    // Between two generations it is closed too, but that is over when its turn is.
    const isOpen = await guard?.exclusively(() => Promise.resolve(guard.session.isOpen));
    if (guard === undefined || isOpen !== true) return undefined;
    return new DomainReset(
      guard,
      this.devices.all,
      method,
      (physfn) => virtualFunctions(this.files, physfn),
    );
  }
}

function byOperator(detail: string): Cause {
  return { source: "operator", detail };
}
