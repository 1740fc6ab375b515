/**
 * Ends from their beginning until they are seen. An end that has begun is taken up again by every
 * later step until then: a call that fails in between delays it, and is told, but never makes it be
 * forgotten.
 *
 * @module
 */
import type { EndReason } from "../end.ts";
import type { Cause } from "../event.ts";
import type { GuardedDevice } from "../guard_context.ts";
import type { HeldGrant } from "../held_grant.ts";
import { type DeviceGrants, reasonOf } from "./device_grants.ts";
import type { GrantEnds } from "./grant_ends.ts";
import type { Renewals } from "./renewals.ts";
import type { Turns } from "./turns.ts";

/** Whether an end asks first. */
export type Urgency = "graceful" | "immediate";

/** Sees ends of one device through. */
export class Enforcement {
  readonly #ends = new Set<Promise<void>>();

  /**
   * @param device whose grants
   * @param turns at it
   * @param grants all of it
   * @param ends the means
   * @param renewals the bluntest means
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly turns: Turns,
    private readonly grants: DeviceGrants,
    private readonly ends: GrantEnds,
    private readonly renewals: Renewals,
  ) {}

  /**
   * Ends grants, in a turn of its own.
   *
   * @param select which, now and when its turn has come
   * @param reason kept, logged and sent
   * @param cause where it was learned
   * @param urgency `graceful`: notify, wait at most `grace`, enforce, verify; `immediate`: enforce,
   *   notify, verify
   * @param graceLimitMs the most that importers are given
   */
  end(
    select: () => readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: Urgency,
    graceLimitMs = Infinity,
  ): Promise<void> {
    const end = this.#end(select, reason, cause, urgency, graceLimitMs);
    this.#ends.add(end);
    return end.finally(() => this.#ends.delete(end));
  }

  async #end(
    select: () => readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: Urgency,
    graceLimitMs: number,
  ): Promise<void> {
    // An immediate end waits for nobody, not for the grace of an end that has begun either.
    if (urgency === "immediate") { for (const held of select()) held.acknowledged = true; }
    const begun = this.grants.begin(select(), reason, cause);
    if (urgency === "graceful") await this.ends.askToLetGo(begun, reason, graceLimitMs);
    await this.turns.take(async () => {
      // What was being made while this waited for its turn ends with the rest.
      this.grants.begin(select(), reason, cause);
      await this.enforce();
    });
  }

  /** Resolves when every end that has begun is over, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#ends]);
  }

  /**
   * Within a turn: takes the means from precise to blunt until the end of every grant that is due is
   * seen.
   */
  async enforce(): Promise<void> {
    const due = this.grants.ending.filter((held) => this.ends.isDue(held));
    if (due.length === 0) return;
    const left: HeldGrant[] = [];
    for (const held of due) {
      if (this.ends.outlived(held)) await this.ends.ifDead(held, "close");
      else if (!await this.ends.precisely(held)) left.push(held);
    }
    if (!this.device.session.revocable) return await this.#besideOwner(left);
    const { active } = this.grants;
    const [first] = left;
    if (active.length > 0) {
      // Whoever takes an end up, what is renewed with it is renewed for its reason.
      if (first !== undefined) await this.renewals.renew(left, active, reasonOf(first));
    } else if (left.length > 0 || this.grants.standing.length === 0) {
      await this.ends.withGeneration(left, "close");
    }
  }

  /** What Bargate cannot take back, the owner's close does. */
  async #besideOwner(left: readonly HeldGrant[]): Promise<void> {
    for (const held of left) {
      // Of a device that is another process's, a look tells whether it is open.
      await this.ends.alive(held);
      if (this.device.session.isOpen) this.#askInVain(held);
      else await this.ends.ifDead(held, "close");
    }
  }

  /** Cooperative revocation: said once, and taken up again with every look. */
  #askInVain(held: HeldGrant): void {
    if (held.askedInVain) return;
    held.askedInVain = true;
    const { context, record } = this.device;
    const { grant } = held;
    context.notify({
      type: "revoking",
      grant: grant.id,
      reason: reasonOf(held),
      withinMs: 0,
    });
    record.trouble({
      source: "references",
      detail:
        `${grant.plan.export}: importer ${grant.plan.importer.name} has not let go, and the device is its owner's to close`,
    });
  }
}
