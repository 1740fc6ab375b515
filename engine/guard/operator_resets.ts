/**
 * Resets that Bargate makes: grants with `onReset: revoke` end before the reset can validate their
 * buffers again, the others are suspended and restored.
 *
 * @module
 */
import { HOLD_NAMES, holdsOver, type HoldSpan } from "../device_hold.ts";
import type { EndReason } from "../end.ts";
import { RefusedError } from "../errors.ts";
import type { Cause } from "../event.ts";
import type { GuardedDevice } from "../guard_context.ts";
import { type HeldGrant, isActive, isEnding } from "../held_grant.ts";
import { endFate, fateOf, type GrantFate } from "../reset_outcome.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { Enforcement } from "./enforcement.ts";
import type { GrantEnds } from "./grant_ends.ts";
import type { MemoryUpkeep } from "./memory_upkeep.ts";
import type { RenewalLoss } from "./renewal_loss.ts";
import type { Renewals } from "./renewals.ts";
import type { Restores } from "./restores.ts";

/** What resets a device, alone or with others. */
export interface ResetAct {
  /** Of the grants that end by it: `device-reset`, or `decode-off`. */
  readonly reason: EndReason;
  /**
   * Resets.
   *
   * @param held whether the device was held, or its generation ended, before it
   */
  make(held: boolean): Promise<void>;
}

/** What a reset does to the grants of a device. */
interface Hit {
  readonly act: ResetAct;
  readonly victims: readonly HeldGrant[];
  readonly keepers: readonly HeldGrant[];
  readonly cause: Cause;
}

/** Prepares one device for resets, and looks after its grants when they are over. */
export class OperatorResets {
  /**
   * @param device that is reset
   * @param grants of it
   * @param ends of the grants
   * @param renewals where nothing can be held
   * @param enforcement of ends that only importers can make
   * @param restores of what goes on
   * @param memory of the controller, which a reset takes away
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly grants: DeviceGrants,
    private readonly ends: GrantEnds,
    private readonly renewals: Renewals,
    private readonly enforcement: Enforcement,
    private readonly restores: Restores,
    private readonly memory: MemoryUpkeep,
  ) {}

  /**
   * Within a turn: does what must be done to the grants before and after a reset.
   *
   * @param asked the reset
   * @param cause who asked
   * @returns what became of the grants
   * @throws {RefusedError} if it was not reset; what has ended stays ended
   */
  async around(asked: ResetAct, cause: Cause): Promise<readonly GrantFate[]> {
    let made = false;
    const make: ResetAct["make"] = (held) => {
      made = true;
      return asked.make(held);
    };
    const { active } = this.grants;
    // An end that has begun, and waits for its turn or for a grace, must be over before the reset too.
    const victims = this.grants.standing.filter(endsByReset);
    const ending = active.filter(endsByReset);
    const keepers = active.filter((held) => !endsByReset(held));
    const hit: Hit = { act: { reason: asked.reason, make }, victims, keepers, cause };
    const loss = await this.#reset(hit);
    if (!made) throw this.#notMade(loss);
    const { active: standing } = this.grants;
    const lost = keepers.filter(({ grant: { plan } }) =>
      !standing.some(({ grant }) => grant.plan === plan)
    );
    return [
      ...[...ending, ...lost].map(endFate),
      ...standing.map((held) => fateOf(held, "restored")),
    ];
  }

  async #reset(hit: Hit): Promise<RenewalLoss | undefined> {
    if (this.device.session.revocable && hit.victims.length > 0) {
      return await this.#resetAndEnd(hit);
    }
    if (this.device.session.revocable) await this.#bounce(hit);
    else await this.#besideOwner(hit);
    return undefined;
  }

  /** A device of which all is ending is not opened again to be reset. Who resets to wipe it must know. */
  #notMade(loss: RenewalLoss | undefined): RefusedError {
    const { address } = this.device.session.target;
    const why = loss === undefined
      ? `the guardian is done with it (${this.grants.sealed?.reason ?? "failed"})`
      : loss.detail;
    return new RefusedError(
      `Cannot reset ${address}: its grants have ended, but it was not reset: ${why}`,
    );
  }

  async #resetAndEnd(hit: Hit): Promise<RenewalLoss | undefined> {
    const { act, victims, keepers, cause } = hit;
    const { reason } = act;
    for (const held of victims) held.acknowledged = true;
    this.grants.begin(victims, reason, cause);
    const span: HoldSpan = reason === "device-reset" ? "reset" : "now";
    if (holdsOver(this.device.session.target.holds, span).length === 0) {
      // Nothing can keep buffers revoked over the reset: the generation ends first.
      const make = () => this.#make(act, cause, true);
      return await this.renewals.renew(victims, keepers, reason, make);
    }
    try {
      await this.#hold(span, victims);
      for (const held of victims) await this.ends.ifDead(held, "hold");
      await this.#make(act, cause, true);
    } finally {
      // What was held stays dead only as long as nobody lets go of the hold, and what could not be
      // held must die all the same: the generation ends.
      const left = victims.filter(isEnding);
      if (keepers.some(isActive)) await this.renewals.renew(left, keepers, reason);
      else await this.ends.withGeneration(left, "close");
    }
    return undefined;
  }

  async #bounce({ act, keepers, cause }: Hit): Promise<void> {
    const suspended = keepers.filter(({ grant }) => grant.state === "delivered");
    for (const held of suspended) this.grants.suspend(held, cause);
    try {
      await this.#make(act, cause, false);
    } finally {
      for (const held of suspended) await this.restores.restore(held);
    }
  }

  /** Of a device that another process has open nothing can be held or closed. */
  async #besideOwner(hit: Hit): Promise<void> {
    for (const held of hit.victims) held.acknowledged = true;
    this.grants.begin(hit.victims, hit.act.reason, hit.cause);
    try {
      await this.#bounce(hit);
    } finally {
      await this.enforcement.enforce();
    }
  }

  async #make(act: ResetAct, cause: Cause, held: boolean): Promise<void> {
    await act.make(held);
    if (!this.device.session.isOpen) return;
    if (act.reason === "device-reset") this.device.record.device("device-reset", { cause });
    // The way out of D3hot can be a reset as well.
    await this.memory.afterReset(cause);
  }

  /** Holds the device and lets go of it again: all its buffers are revoked, and validated. */
  async holdAndLetGo(): Promise<void> {
    await this.#hold("now", this.grants.active);
    await this.device.session.unhold();
  }

  async #hold(span: HoldSpan, witnesses: readonly HeldGrant[]): Promise<void> {
    const { session, record } = this.device;
    const hold = session.hold(span, witnesses[0]?.dmaBuf);
    await record.limited(`hold ${session.target.address}`, hold);
    const { held } = session;
    if (held === undefined) return;
    record.device("device-held", { cause: { source: "hold", detail: HOLD_NAMES[held] } });
  }
}

function endsByReset({ grant }: HeldGrant): boolean {
  return grant.plan.rule.onReset === "revoke";
}
