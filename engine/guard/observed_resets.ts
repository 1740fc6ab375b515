/**
 * Resets and revokes that others make: through sysfs, past VFIO, or an owner of its own device. They
 * are told by observers, or found by a look.
 *
 * @module
 */
import type { EndReason } from "../end.ts";
import { RefusedError } from "../errors.ts";
import type { Cause } from "../event.ts";
import type { GuardedDevice } from "../guard_context.ts";
import { type HeldGrant, isActive, isSuspended } from "../held_grant.ts";
import { endFate, fateOf, type GrantFate } from "../reset_outcome.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { Enforcement } from "./enforcement.ts";
import type { GrantEnds } from "./grant_ends.ts";
import type { MemoryUpkeep } from "./memory_upkeep.ts";
import type { Restores } from "./restores.ts";
import type { Turns } from "./turns.ts";

/** The most that importers are given to let go before a reset that an operator waits for, ms. */
const MAKE_WAY_GRACE_MS = 30_000;

/** What follows for the grants of one device. */
export class ObservedResets {
  /** Of a borrowed device: what has revoked its buffers, until they are validated. */
  #revokedBy: Cause | undefined;
  /** The device decodes nothing, and that has been told. */
  #isDark = false;
  /** It is held and cannot be let go of, and that has been told. */
  #isStuck = false;
  /** The look that waits for its turn. */
  #nextLook: Promise<void> | undefined;

  /**
   * @param device that is reset
   * @param turns at it
   * @param grants of it
   * @param ends tell what is alive
   * @param enforcement of ends
   * @param restores of what goes on
   * @param memory of the controller, which a reset takes away
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly turns: Turns,
    private readonly grants: DeviceGrants,
    private readonly ends: GrantEnds,
    private readonly enforcement: Enforcement,
    private readonly restores: Restores,
    private readonly memory: MemoryUpkeep,
  ) {}

  /**
   * Ends the grants that a reset ends. Of a reset past VFIO the kernel revokes nothing: mappings and
   * buffers are alive, and so their end is enforced as any other.
   *
   * @param reason `device-reset`, or `decode-off` where memory decode was switched off
   * @param cause where it was learned
   * @param graceLimitMs the most that importers are given where only they can let go
   */
  end(reason: EndReason, cause: Cause, graceLimitMs = Infinity): Promise<void> {
    const victims = () =>
      this.grants.all.filter(({ grant }) => grant.plan.rule.onReset === "revoke");
    // Where nothing but the importer's help can end them, it is given the time for that.
    const urgency = this.device.session.revocable ? "immediate" : "graceful";
    return this.enforcement.end(victims, reason, cause, urgency, graceLimitMs);
  }

  /**
   * The same for a reset that is about to be made elsewhere, and for which somebody waits.
   *
   * @returns what became of the grants; those that go on are `restored`
   */
  async makeWay(cause: Cause): Promise<readonly GrantFate[]> {
    const { active } = this.grants;
    await this.end("device-reset", cause, MAKE_WAY_GRACE_MS);
    return active.map((held) => isActive(held) ? fateOf(held, "restored") : endFate(held));
  }

  /**
   * The device was reset past VFIO. Grants with `onReset: restore` have lost nothing and go on, unless
   * they are of a memory buffer that is no more where it was: the look after it tells that.
   */
  seen(cause: Cause): Promise<void> {
    this.#told("device-reset", cause);
    return this.end("device-reset", cause);
  }

  /**
   * Somebody wrote to configuration space past VFIO. If memory decode is off then, that was it. Else
   * it can have been anything: the bit that starts a function reset reads as 0 at all times, so that
   * nobody can tell a reset from another write, and it is taken for one.
   */
  async configWritten(cause: Cause): Promise<void> {
    const off = await this.turns.take(() => this.#decodesNothing());
    if (!off) return await this.seen(cause);
    this.#isDark = true;
    this.looked(cause);
    await this.end("decode-off", cause);
  }

  /** What cannot be read decides nothing. */
  async #decodesNothing(): Promise<boolean> {
    const { session, record } = this.device;
    if (!session.isOpen) return false;
    const what = `read the command register of ${session.target.address}`;
    return await record.attempt(what, () => session.decodesNothing()) ?? false;
  }

  /** The kernel revokes all buffers: of a borrowed device by its owner's doing. */
  revoked(cause: Cause): void {
    this.looked(cause);
    if (!this.device.session.revocable) this.#revokedBy ??= cause;
  }

  /**
   * The kernel validates all buffers. Of a borrowed device that they were revoked before means that
   * mappings are dead: grants with `onReset: revoke` end, the others are restored. An owner who writes
   * to the command register causes this without a revoke, and then it is nothing.
   */
  async unrevoked(cause: Cause): Promise<void> {
    this.looked(cause);
    const revokedBy = this.#revokedBy;
    if (revokedBy === undefined) return;
    this.#told("device-reset", revokedBy);
    const ends = this.end("device-reset", revokedBy);
    await this.turns.take(async () => {
      this.#revokedBy = undefined;
      for (const held of this.grants.all) this.grants.suspend(held, revokedBy);
      for (const held of this.grants.all.filter(isSuspended)) {
        // The un-revoke is told when it begins; one that is not over is for the next look.
        if (await this.ends.alive(held) === "live") await this.restores.restore(held);
      }
    });
    await ends;
  }

  /** Something was seen that ends nothing by itself. */
  looked(cause: Cause): void {
    this.#told("observed", cause);
  }

  #told(type: "device-reset" | "observed", cause: Cause): void {
    if (this.device.session.isOpen) this.device.record.device(type, { cause });
  }

  /**
   * Compares what should be with what is: a revoke or un-revoke that nothing told of is found late.
   * Behind something that takes long one look waits, however often it was asked for.
   */
  reconcile(): Promise<void> {
    return this.#nextLook ??= this.turns.take(async () => {
      this.#nextLook = undefined;
      await this.enforcement.enforce();
      const { session } = this.device;
      if (!session.isOpen) return;
      await this.#letGo();
      const lost = await this.#look({ source: "probe" });
      const reason = session.isOpen ? "decode-off" : "owner-gone";
      this.grants.begin(lost, reason, { source: "probe" });
      await this.#lookAtDecode();
      if (!this.#isDark) await this.memory.afterReset({ source: "registers" });
      await this.enforcement.enforce();
    });
  }

  /**
   * In a turn nobody else holds the device, so this is a hold that could not be given up. It is tried
   * again with every look, and told once; what stays revoked by it is treated as by any other.
   */
  async #letGo(): Promise<void> {
    const { session, record } = this.device;
    if (session.held === undefined) {
      this.#isStuck = false;
      return;
    }
    try {
      await record.limited(`let go of ${session.target.address}`, session.unhold());
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      if (!this.#isStuck) record.trouble({ source: "hold", detail: error.message });
      this.#isStuck = true;
    }
  }

  /**
   * The kernel goes by the memory bit that was written through VFIO. The one in the device can be off
   * all the same: who resets it past VFIO puts back what he found before. Buffers are alive then, and
   * no DMA reaches anything.
   */
  async #lookAtDecode(): Promise<void> {
    const { session } = this.device;
    const off = session.isOpen && session.revocable && await this.#decodesNothing();
    if (off && !this.#isDark) {
      const detail = "memory decode of the device is off, and nobody was seen to switch it off";
      const cause = { source: "command register", detail };
      this.looked(cause);
      const victims = this.grants.active.filter((held) => this.#mayEnd(held));
      this.grants.begin(victims, "decode-off", cause);
    }
    this.#isDark = off;
  }

  /** Suspends and restores what can come back. @returns what is revoked and cannot */
  async #look(cause: Cause): Promise<readonly HeldGrant[]> {
    const { session } = this.device;
    const lost: HeldGrant[] = [];
    for (const held of this.grants.active) {
      // What was found of one can have ended the next one.
      if (!isActive(held)) continue;
      const liveness = await session.probe(held.dmaBuf);
      if (liveness === "revoked" && !session.isOpen) lost.push(held);
      else if (liveness === "revoked" && held.grant.state === "delivered") {
        if (this.#mayEnd(held)) lost.push(held);
        else this.grants.suspend(held, cause);
      } else if (liveness === "live" && isSuspended(held) && this.#revokedBy === undefined) {
        await this.restores.restore(held);
      }
    }
    return lost;
  }

  /** What the owner of a borrowed device holds revoked for a while comes back when the owner lets it. */
  #mayEnd({ grant }: HeldGrant): boolean {
    return this.device.session.revocable && grant.plan.rule.onReset === "revoke";
  }
}
