/**
 * One device and the grants that live on it: exporting, ending, resetting. What is done to one device
 * never interleaves, and never waits for another device.
 *
 * An end is done when it is *seen*: Bargate's descriptor is the buffer's last reference, or the
 * device is held revoked, or the generation is over and the buffer cannot be imported any more. An
 * end that has begun is taken up again by every later step until it is seen: a call that fails in
 * between delays it, and is told, but never makes it be forgotten.
 *
 * @module
 */
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import type { BargatePacket } from "./channel.ts";
import { closeOnLane } from "./close_on_lane.ts";
import type { EndReason, Means } from "./end.ts";
import { HOLD_NAMES, holdsOver, type HoldSpan } from "./device_hold.ts";
import { HostNotReadyError, RefusedError } from "./errors.ts";
import type { After, Cause } from "./event.ts";
import type { Fd } from "./fd.ts";
import { Grant } from "./grant.ts";
import { type GuardContext, GuardRecorder, messageOf } from "./guard_context.ts";
import { type HeldGrant, isActive, isEnding, isSuspended, type Mapping } from "./held_grant.ts";
import type { Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import type { PlannedGrant } from "./plan.ts";
import { endFate, fateOf, type GrantFate } from "./reset_outcome.ts";
import { explained } from "./refusal.ts";
import type { GuardedSession, Liveness } from "./guarded_session.ts";

/** Whether an end asks first. */
export type Urgency = "graceful" | "immediate";

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

/** A device while nobody else does anything to it. */
export interface GuardTurn {
  readonly guard: DeviceGuard;
  /**
   * Ends the grants with `onReset: revoke` before the reset can validate their buffers again, and
   * suspends and restores the others.
   *
   * @returns what became of the grants
   */
  aroundReset(act: ResetAct, cause: Cause): Promise<readonly GrantFate[]>;
}

/** A renewal's material: what is exported again, and where it was mapped. */
interface Renewal {
  readonly held: HeldGrant;
  readonly mapping: Mapping | undefined;
}

/** How long a graceful end lies between two looks at the references, ms. */
const LOOK_EVERY_MS = 10;
/** The most that importers are given to let go before a reset that an operator waits for, ms. */
const MAKE_WAY_GRACE_MS = 30_000;

/** How long a device that is locked by a reset or an unbind is tried again, and how often, ms. */
const LOCKED_MS = 5_000;
const LOCKED_EVERY_MS = 100;

/** A device with its grants. */
export class DeviceGuard {
  readonly #held: HeldGrant[] = [];
  readonly #ends = new Set<Promise<void>>();
  readonly #onReopen: (() => Promise<unknown>)[] = [];
  /** When planned grants expire, ms since the epoch: a renewal does not give them more time. */
  readonly #deadlines = new Map<PlannedGrant, number>();
  readonly #record: GuardRecorder;
  #turn: Promise<unknown> = Promise.resolve();
  /** Of a borrowed device: what has revoked its buffers, until they are validated. */
  #revokedBy: Cause | undefined;
  #renewing = false;
  /** Once set, nothing is exported any more. */
  #final: { readonly reason: EndReason; readonly cause: Cause } | undefined;

  /**
   * @param session the open device; the guard owns it
   * @param lane of the session, for mappings
   * @param context what is around it
   */
  constructor(
    readonly session: GuardedSession,
    private readonly lane: Lane,
    private readonly context: GuardContext,
  ) {
    this.#record = new GuardRecorder(context, session, () => this.#holders());
  }

  /** Grants of which no end was seen. */
  get standing(): readonly HeldGrant[] {
    return this.#held.filter(({ grant }) => grant.standing);
  }

  /** Whether grants have ended that are being made again: that none stands is not the last word. */
  get renewing(): boolean {
    return this.#renewing;
  }

  /** What to do again in each new generation: arming interrupts. */
  onReopen(work: () => Promise<unknown>): void {
    this.#onReopen.push(work);
  }

  /**
   * Exports a planned grant.
   *
   * @returns the grant, exported
   * @throws {RefusedError} with nothing left of it
   */
  export(plan: PlannedGrant): Promise<HeldGrant> {
    return this.#exclusive(() => this.#export(plan));
  }

  /** The importer has it. @returns false if its end has begun meanwhile */
  delivered(held: HeldGrant): boolean {
    if (held.grant.state !== "exported") return false;
    held.grant.step("deliver");
    this.#record.grant("delivered", held.grant);
    return true;
  }

  /**
   * Maps a grant into an importer's I/O address space (`mapping: bargate`).
   *
   * @param iommufd the importer's; the guard owns it from here on, also if this throws
   * @returns where it is mapped
   * @throws {RefusedError} if the kernel refuses
   */
  map(held: HeldGrant, iommufd: Fd, ioas: number, iova: bigint | undefined): Promise<bigint> {
    return this.#exclusive(async () => {
      try {
        const { state, plan } = held.grant;
        const free = (state === "exported" || state === "delivered") && held.mapping === undefined;
        if (!free) {
          const mapped = held.mapping === undefined ? "" : " and mapped already";
          throw new RefusedError(`Cannot map ${plan.export}: the grant is ${state}${mapped}`);
        }
        held.mapping = await this.#mapInto(held, iommufd, ioas, iova);
      } catch (error) {
        await this.#closeCopy(iommufd);
        throw error;
      }
      if (!isActive(held)) {
        throw new RefusedError(`Cannot map ${held.grant.plan.export}: the grant is ending`);
      }
      this.delivered(held);
      return held.mapping.iova;
    });
  }

  /**
   * Ends grants.
   *
   * @param victims which; those whose end has begun or is over are left alone
   * @param reason kept, logged and sent
   * @param cause where it was learned
   * @param urgency `graceful`: notify, wait at most `grace`, enforce, verify; `immediate`: enforce,
   *   notify, verify
   */
  end(
    victims: readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: Urgency,
  ): Promise<void> {
    return this.#tracked(this.#end(() => victims, reason, cause, urgency));
  }

  /** Ends all grants, and those that are being made: nothing is exported from here on. */
  endAll(reason: EndReason, cause: Cause, urgency: Urgency): Promise<void> {
    this.#final ??= { reason, cause };
    return this.#tracked(this.#end(() => this.#held, reason, cause, urgency));
  }

  /** Resolves when every end that has begun is over, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#ends]);
  }

  /**
   * Waits until nothing is being done to the device, and keeps others from it.
   *
   * @param work must not wait for another turn of this device
   */
  exclusively<T>(work: (turn: GuardTurn) => Promise<T>): Promise<T> {
    const turn: GuardTurn = {
      guard: this,
      aroundReset: (act, cause) => this.#aroundReset(act, cause),
    };
    return this.#exclusive(() => work(turn));
  }

  /** Waits for a call of a reset, and tells if it takes too long. */
  limited<T>(verb: string, call: Promise<T>): Promise<T> {
    return this.#record.limited(`${verb} ${this.session.target.address}`, call);
  }

  /**
   * Ends the grants that a reset ends. Of a reset past VFIO the kernel revokes nothing: mappings and
   * buffers are alive, and so their end is enforced as any other.
   *
   * @param reason `device-reset`, or `decode-off` where memory decode was switched off
   * @param cause where it was learned
   * @param graceLimitMs the most that importers are given where only they can let go
   */
  endOnReset(reason: EndReason, cause: Cause, graceLimitMs = Infinity): Promise<void> {
    const victims = () => this.#held.filter(({ grant }) => grant.plan.rule.onReset === "revoke");
    // Where nothing but the importer's help can end them, it is given the time for that.
    const urgency = this.session.revocable ? "immediate" : "graceful";
    return this.#tracked(this.#end(victims, reason, cause, urgency, graceLimitMs));
  }

  /**
   * The same for a reset that is about to be made elsewhere, and for which somebody waits.
   *
   * @returns what became of the grants; those that go on are `restored`
   */
  async makeWay(cause: Cause): Promise<readonly GrantFate[]> {
    const active = this.#held.filter(isActive);
    await this.endOnReset("device-reset", cause, MAKE_WAY_GRACE_MS);
    return active.map((held) => isActive(held) ? fateOf(held, "restored") : endFate(held));
  }

  /** The device was reset past VFIO. Grants with `onReset: restore` have lost nothing and go on. */
  resetSeen(cause: Cause): Promise<void> {
    if (this.session.isOpen) this.#record.device("device-reset", { cause });
    return this.endOnReset("device-reset", cause);
  }

  /**
   * Somebody wrote to configuration space past VFIO. If memory decode is off then, that was it. Else
   * it can have been anything: the bit that starts a function reset reads as 0 at all times, so that
   * nobody can tell a reset from another write, and it is taken for one.
   */
  async configWritten(cause: Cause): Promise<void> {
    const off = await this.#exclusive(() => this.#decodesNothing());
    if (!off) return await this.resetSeen(cause);
    this.looked(cause);
    await this.endOnReset("decode-off", cause);
  }

  /** The kernel revokes all buffers: of a borrowed device by its owner's doing. */
  revokeSeen(cause: Cause): void {
    this.looked(cause);
    if (!this.session.revocable) this.#revokedBy ??= cause;
  }

  /**
   * The kernel validates all buffers. Of a borrowed device that they were revoked before means that
   * mappings are dead: grants with `onReset: revoke` end, the others are restored. An owner who writes
   * to the command register causes this without a revoke, and then it is nothing.
   */
  async unrevokeSeen(cause: Cause): Promise<void> {
    this.looked(cause);
    const revokedBy = this.#revokedBy;
    if (revokedBy === undefined) return;
    if (this.session.isOpen) this.#record.device("device-reset", { cause: revokedBy });
    const ends = this.endOnReset("device-reset", revokedBy);
    await this.#exclusive(async () => {
      this.#revokedBy = undefined;
      for (const held of this.#held) this.#suspend(held, revokedBy);
      for (const held of this.#held.filter(isSuspended)) {
        // The un-revoke is told when it begins; one that is not over is for the next look.
        if (await this.#alive(held) === "live") await this.#restore(held);
      }
    });
    await ends;
  }

  #alive({ dmaBuf, grant }: HeldGrant): Promise<Liveness | undefined> {
    return this.#record.attempt(`probe ${grant.plan.export}`, () => this.session.probe(dmaBuf));
  }

  /** Something was seen that ends nothing by itself. */
  looked(cause: Cause): void {
    if (this.session.isOpen) this.#record.device("observed", { cause });
  }

  /** Compares what should be with what is: a revoke or un-revoke that nothing told of is found late. */
  reconcile(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#enforce();
      if (!this.session.isOpen || this.session.held !== undefined) return;
      const cause: Cause = { source: "probe" };
      const lost: HeldGrant[] = [];
      for (const held of this.#held.filter(isActive)) {
        // What was found of one can have ended the next one.
        if (!isActive(held)) continue;
        const liveness = await this.session.probe(held.dmaBuf);
        if (liveness === "revoked" && !this.session.isOpen) lost.push(held);
        else if (liveness === "revoked" && held.grant.state === "delivered") {
          if (this.#mayEnd(held)) lost.push(held);
          else this.#suspend(held, cause);
        } else if (liveness === "live" && isSuspended(held) && this.#revokedBy === undefined) {
          await this.#restore(held);
        }
      }
      const reason = this.session.isOpen ? "decode-off" : "owner-gone";
      this.#begin(lost, reason, cause);
      await this.#enforce();
    });
  }

  /** What the owner of a borrowed device holds revoked for a while comes back when the owner lets it. */
  #mayEnd({ grant }: HeldGrant): boolean {
    return this.session.revocable && grant.plan.rule.onReset === "revoke";
  }

  /** Ends what stands, closes the device and gives everything back. */
  dispose(): Promise<void> {
    const { reason, cause } = this.#final ??= { reason: "failed", cause: { source: "engine" } };
    return this.#exclusive(async () => {
      for (const held of this.#held) held.acknowledged = true;
      this.#begin(this.#held, reason, cause);
      await this.#enforce();
      await this.#endGeneration(this.#held.filter(isEnding), "close");
      for (const held of [...this.standing]) {
        await this.#finishUnseen(held, "nothing is left to try");
      }
      await this.#record.attempt(
        `give ${this.session.target.address} back`,
        () => this.session.dispose(),
      );
    });
  }

  // ── making ──────────────────────────────────────────────────────────────────────────────────────

  async #export(plan: PlannedGrant): Promise<HeldGrant> {
    const grant = new Grant(crypto.randomUUID(), plan, this.session.generation);
    this.#record.grant("planned", grant);
    try {
      if (this.#final !== undefined) {
        throw new RefusedError(`Cannot export ${plan.export}: its device is ending`);
      }
      const what = `${plan.export} (BAR ${plan.bar} of ${plan.device.address})`;
      const dmaBuf = await this.session.export(what, plan.bar, plan.ranges);
      const held: HeldGrant = { grant, dmaBuf, acknowledged: false };
      this.#held.push(held);
      grant.step("export");
      this.#record.grant("exported", grant);
      this.#expireLater(held);
      return held;
    } catch (error) {
      grant.fail();
      const cause = { source: "export", detail: messageOf(error) };
      this.#record.grant("ended", grant, { reason: "failed", cause });
      throw error;
    }
  }

  /** The time of `expires` runs from the first export, whatever is renewed in between. */
  #expireLater(held: HeldGrant): void {
    const { plan } = held.grant;
    const { expiresMs } = plan.rule;
    if (expiresMs === undefined) return;
    const { clock } = this.context;
    const deadline = this.#deadlines.get(plan) ?? clock.now() + expiresMs;
    this.#deadlines.set(plan, deadline);
    held.callOffExpiry = clock.after(Math.max(0, deadline - clock.now()), () => {
      this.#background(this.end([held], "expired", { source: "timer" }, "graceful"));
    });
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  async #end(
    select: () => readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: Urgency,
    graceLimitMs = Infinity,
  ): Promise<void> {
    // An immediate end waits for nobody, not for the grace of an end that has begun either.
    if (urgency === "immediate") { for (const held of select()) held.acknowledged = true; }
    const begun = this.#begin(select(), reason, cause);
    if (urgency === "graceful") await this.#askToLetGo(begun, reason, graceLimitMs);
    await this.#exclusive(async () => {
      // What was being made while this waited for its turn ends with the rest.
      this.#begin(select(), reason, cause);
      await this.#enforce();
    });
  }

  #begin(victims: readonly HeldGrant[], reason: EndReason, cause: Cause): readonly HeldGrant[] {
    const begun = victims.filter(isActive);
    for (const held of begun) {
      held.callOffExpiry?.();
      held.grant.revoke(reason);
      this.#record.grant("revoking", held.grant, { reason, cause });
    }
    return begun;
  }

  /** Waits until the importers have let go, at most their grace, and the limit. */
  async #askToLetGo(
    victims: readonly HeldGrant[],
    reason: EndReason,
    limitMs: number,
  ): Promise<void> {
    const { clock, notify } = this.context;
    for (const held of victims) {
      const withinMs = Math.min(held.grant.plan.rule.graceMs, limitMs);
      held.graceUntil = clock.now() + withinMs;
      notify({ type: "revoking", grant: held.grant.id, reason, withinMs });
    }
    // The kernel tells nobody that a reference has gone, so this looks from time to time.
    while (victims.some((held) => !this.#isDue(held))) {
      await new Promise<void>((resolve) => clock.after(LOOK_EVERY_MS, resolve));
    }
  }

  /** Whether nobody need be waited for any more. */
  #isDue(held: HeldGrant): boolean {
    const { graceUntil } = held;
    if (!held.grant.standing || held.acknowledged || graceUntil === undefined) return true;
    if (this.context.clock.now() >= graceUntil) return true;
    return held.mapping === undefined && this.#references(held) === 1;
  }

  /** Whose references are left: the buffers that others than Bargate have, with their importers. */
  #holders(): readonly string[] {
    return this.standing.filter((held) => (this.#references(held) ?? 1) > 1)
      .map(({ grant: { plan } }) => `${plan.export} by importer ${plan.importer.name}`);
  }

  /** @returns how many references the buffer has; undefined if that cannot be read */
  #references({ dmaBuf }: HeldGrant): number | undefined {
    if (!dmaBuf.open) return undefined;
    try {
      return this.context.kernel.dmaBufFacts(dmaBuf).references;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return undefined;
    }
  }

  /** Takes the means from precise to blunt until the end of every grant that is due is seen. */
  async #enforce(): Promise<void> {
    const due = this.#held.filter((held) => isEnding(held) && this.#isDue(held));
    if (due.length === 0) return;
    const left: HeldGrant[] = [];
    for (const held of due) {
      if (this.#outlived(held)) await this.#finishDead(held, "close");
      else if (!await this.#endPrecisely(held)) left.push(held);
    }
    if (!this.session.revocable) {
      for (const held of left) {
        if (await this.#ownerHasClosed(held)) await this.#finishDead(held, "close");
        else this.#askInVain(held);
      }
      return;
    }
    const active = this.#held.filter(isActive);
    const [first] = left;
    if (active.length > 0) {
      // Whoever takes an end up, what is renewed with it is renewed for its reason.
      if (first !== undefined) await this.#renew(left, active, reasonOf(first));
    } else if (left.length > 0 || this.standing.length === 0) {
      await this.#endGeneration(left, "close");
    }
  }

  /** What Bargate cannot take back, the owner's close does. */
  async #ownerHasClosed({ dmaBuf, grant }: HeldGrant): Promise<boolean> {
    const what = `probe ${grant.plan.export}`;
    await this.#record.attempt(what, () => this.session.probe(dmaBuf));
    return !this.session.isOpen;
  }

  /** Cooperative revocation: said once, and taken up again with every look. */
  #askInVain(held: HeldGrant): void {
    if (held.askedInVain) return;
    held.askedInVain = true;
    const { grant } = held;
    this.context.notify({
      type: "revoking",
      grant: grant.id,
      reason: reasonOf(held),
      withinMs: 0,
    });
    this.#record.trouble({
      source: "references",
      detail:
        `${grant.plan.export}: importer ${grant.plan.importer.name} has not let go, and the device is its owner's to close`,
    });
  }

  /** Whether the generation of the grant is over. */
  #outlived({ grant }: HeldGrant): boolean {
    return !this.session.isOpen || grant.generation !== this.session.generation;
  }

  /** @returns whether Bargate's descriptor was seen to be the last reference */
  async #endPrecisely(held: HeldGrant): Promise<boolean> {
    const means: Means = held.mapping === undefined ? "release" : "unmap";
    const failure = await this.#unmap(held);
    const references = this.#references(held);
    if (references !== 1 && held.askedInVain) return false;
    if (references === 1) {
      // Nobody else has it, and when this is closed nobody can get it any more.
      await this.#closeBuffer(held);
      await this.#finish(held, means);
      return true;
    }
    const others = references === undefined
      ? "the references to the buffer cannot be read"
      : `${references - 1} other references to the buffer are left`;
    const detail = failure === undefined ? others : `${others}; ${failure}`;
    const cause = { source: "references", detail };
    this.#record.grant("means-insufficient", held.grant, { means, cause });
    return false;
  }

  /** @returns why it could not be unmapped; then the references decide */
  async #unmap(held: HeldGrant): Promise<string | undefined> {
    const mapping = held.mapping;
    if (mapping === undefined) return undefined;
    delete held.mapping;
    try {
      return await this.#dropArea(mapping);
    } finally {
      await this.#closeCopy(mapping.iommufd);
    }
  }

  /** The address space is the importer's: that the area is gone already is no failure of ours. */
  async #dropArea({ iommufd, ioas, iova, length }: Mapping): Promise<string | undefined> {
    try {
      await this.#record.limited(
        `unmap from IOAS ${ioas}`,
        this.lane.ioasUnmap(iommufd, ioas, iova, length),
      );
      return undefined;
    } catch (error) {
      return `the unmap failed: ${messageOf(error)}`;
    }
  }

  /** The last reference to an iommufd takes its address spaces with it, and that can wait. */
  async #closeCopy(iommufd: Fd): Promise<void> {
    await this.#record.attempt(
      "close an importer's iommufd",
      () => closeOnLane(this.context.kernel, this.lane, iommufd),
    );
  }

  /** Closes the device: what is left of the victims, and every buffer of the generation, is dead. */
  async #endGeneration(victims: readonly HeldGrant[], means: Means): Promise<void> {
    if (this.session.isOpen) {
      const what = `close ${this.session.target.address}`;
      await this.#record.attempt(what, () => this.session.close());
      if (!this.session.isOpen) this.#record.device("device-closed");
    }
    for (const held of victims) await this.#finishDead(held, means);
  }

  /**
   * Ends a grant whose buffer must be dead by now, and for good, if it is: the means was taken (the
   * generation is over, or the device is held), and nobody can import it.
   * Where there is no iommufd to try that with, the means alone decides. What is not seen to be dead
   * stays as it is, and the next means is tried.
   */
  async #finishDead(held: HeldGrant, means: Means): Promise<void> {
    const liveness = await this.#alive(held);
    const dead = liveness === "revoked" || liveness === "unknown";
    if (dead && this.#taken(held, means)) {
      await this.#finish(held, means);
    } else if (liveness === "live" && this.#outlived(held)) {
      await this.#finishUnseen(held, "the buffer can be imported after its generation");
    }
  }

  #taken(held: HeldGrant, means: Means): boolean {
    return means === "hold" ? this.session.held !== undefined : this.#outlived(held);
  }

  /** The end was seen: record it, tell the importer, give the buffer back. */
  async #finish(held: HeldGrant, means: Means): Promise<void> {
    const reason = reasonOf(held);
    held.grant.ended(means);
    this.#record.grant("ended", held.grant, { reason, means, after: "dead" });
    this.context.notify({ type: "revoked", grant: held.grant.id, reason, after: "dead" });
    await this.#giveBack(held);
  }

  /** The end cannot be seen: said aloud, and counted. */
  async #finishUnseen(held: HeldGrant, detail: string): Promise<void> {
    const cause = { source: "probe", detail };
    this.#record.trouble(cause);
    held.grant.fail();
    this.#record.grant("ended", held.grant, { reason: "failed", cause });
    this.context.notify({
      type: "revoked",
      grant: held.grant.id,
      reason: "failed",
      after: "dead",
    });
    await this.#giveBack(held);
  }

  /** Nothing of a grant that has ended is kept: no mapping, no copy of an iommufd, no buffer. */
  async #giveBack(held: HeldGrant): Promise<void> {
    this.#held.splice(this.#held.indexOf(held), 1);
    await this.#unmap(held);
    await this.#closeBuffer(held);
  }

  async #closeBuffer({ dmaBuf, grant }: HeldGrant): Promise<void> {
    if (!dmaBuf.open) return;
    const what = `close the buffer of ${grant.plan.export}`;
    await this.#record.attempt(what, () => this.session.closeBuffer(dmaBuf));
  }

  // ── a new generation ────────────────────────────────────────────────────────────────────────────

  /**
   * Ends everything of this generation, opens the device again, and exports again what is still
   * allowed. Old descriptors stay dead.
   */
  async #renew(
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    reason: EndReason,
    between: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const renewals = this.#takeMappings(keepers.filter(isActive));
    const renewed = renewals.map(({ held }) => held);
    this.#begin(renewed, reason, { source: "collateral", detail: "renewed with the device" });
    this.#renewing = renewals.length > 0;
    try {
      await this.#endGeneration([...victims, ...renewed], "new-generation");
      if (this.session.isOpen) {
        throw new RefusedError(`Cannot renew ${this.session.target.address}: it does not close`);
      }
      if (!await this.#reopen()) return;
      this.#record.device("device-opened");
      for (const work of this.#onReopen) await work();
      await between();
      for (const renewal of renewals) await this.#exportAgain(renewal);
    } finally {
      this.#renewing = false;
      await this.#closeUnused(renewals);
      if (this.standing.length === 0) await this.#endGeneration([], "close");
    }
  }

  /**
   * Whoever resets or unbinds the device locks it for a moment: then it is tried again.
   *
   * @returns false if nothing is exported any more, and so nothing was opened
   */
  async #reopen(): Promise<boolean> {
    const { clock } = this.context;
    const until = clock.now() + LOCKED_MS;
    while (this.#final === undefined) {
      try {
        await this.session.reopen();
        return true;
      } catch (error) {
        if (!isLocked(error) || clock.now() >= until) throw error;
        await new Promise<void>((resolve) => clock.after(LOCKED_EVERY_MS, resolve));
      }
    }
    return false;
  }

  /** The copies of the importers' iommufds serve the next generation. */
  #takeMappings(keepers: readonly HeldGrant[]): readonly Renewal[] {
    return keepers.map((held) => {
      const { mapping } = held;
      delete held.mapping;
      return { held, mapping };
    });
  }

  async #closeUnused(renewals: readonly Renewal[]): Promise<void> {
    const used = new Set(this.#held.map(({ mapping }) => mapping?.iommufd));
    for (const { mapping } of renewals) {
      if (mapping !== undefined && !used.has(mapping.iommufd)) {
        await this.#closeCopy(mapping.iommufd);
      }
    }
  }

  /** A grant that cannot be renewed has its own end; the others go on. */
  async #exportAgain({ held: old, mapping }: Renewal): Promise<void> {
    if (this.#final !== undefined) return;
    const { plan } = old.grant;
    let held: HeldGrant;
    try {
      held = await this.#export(plan);
      if (mapping !== undefined) {
        await this.#dropArea(mapping);
        held.mapping = await this.#mapInto(held, mapping.iommufd, mapping.ioas, mapping.iova);
      }
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return;
    }
    const handsOver = plan.importer.mapping === "importer";
    const told = this.context.notify(grantedPacket(held), handsOver ? [held.dmaBuf] : []);
    if (handsOver && !told) {
      const cause = { source: "channel", detail: "the importer does not read" };
      this.#begin([held], "importer-gone", cause);
      await this.#endPrecisely(held);
    } else if (handsOver || mapping !== undefined) {
      this.delivered(held);
    }
  }

  // ── resetting ───────────────────────────────────────────────────────────────────────────────────

  /** Holds the device and lets go of it again: all its buffers are revoked, and validated. */
  async holdAndLetGo(): Promise<void> {
    await this.#hold("now", this.#held.filter(isActive));
    await this.session.unhold();
  }

  async #aroundReset(asked: ResetAct, cause: Cause): Promise<readonly GrantFate[]> {
    let made = false;
    const make: ResetAct["make"] = (held) => {
      made = true;
      return asked.make(held);
    };
    const act: ResetAct = { reason: asked.reason, make };
    const active = this.#held.filter(isActive);
    const victims = active.filter(({ grant }) => grant.plan.rule.onReset === "revoke");
    const keepers = active.filter(({ grant }) => grant.plan.rule.onReset === "restore");
    if (!this.session.revocable) await this.#besideOwner(act, victims, keepers, cause);
    else if (victims.length === 0) await this.#bounce(act, keepers, cause);
    else await this.#resetAndEnd(act, victims, keepers, cause);
    // A device of which all is ending is not opened again to be reset. Who resets to wipe it must know.
    if (!made) {
      throw new RefusedError(
        `Cannot reset ${this.session.target.address}: its grants have ended, but it was not reset: the guardian is done with it (${
          this.#final?.reason ?? "failed"
        })`,
      );
    }
    return [
      ...victims.map(endFate),
      ...this.#held.filter(isActive).map((held) => fateOf(held, "restored")),
    ];
  }

  async #resetAndEnd(
    act: ResetAct,
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    cause: Cause,
  ): Promise<void> {
    const { reason } = act;
    for (const held of victims) held.acknowledged = true;
    this.#begin(victims, reason, cause);
    const span: HoldSpan = act.reason === "device-reset" ? "reset" : "now";
    if (holdsOver(this.session.target.holds, span).length === 0) {
      // Nothing can keep buffers revoked over the reset: the generation ends first.
      await this.#renew(victims, keepers, reason, () => this.#make(act, cause, true));
      return;
    }
    try {
      await this.#hold(span, victims);
      for (const held of victims) await this.#finishDead(held, "hold");
      await this.#make(act, cause, true);
    } finally {
      // What was held stays dead only as long as nobody lets go of the hold, and what could not be
      // held must die all the same: the generation ends.
      const left = victims.filter(isEnding);
      if (keepers.some(isActive)) await this.#renew(left, keepers, reason);
      else await this.#endGeneration(left, "close");
    }
  }

  /** What cannot be read decides nothing. */
  async #decodesNothing(): Promise<boolean> {
    if (!this.session.isOpen) return false;
    const what = `read the command register of ${this.session.target.address}`;
    return await this.#record.attempt(what, () => this.session.decodesNothing()) ?? false;
  }

  async #bounce(act: ResetAct, keepers: readonly HeldGrant[], cause: Cause): Promise<void> {
    const suspended = keepers.filter(({ grant }) => grant.state === "delivered");
    for (const held of suspended) this.#suspend(held, cause);
    try {
      await this.#make(act, cause, false);
    } finally {
      for (const held of suspended) await this.#restore(held);
    }
  }

  async #hold(span: HoldSpan, witnesses: readonly HeldGrant[]): Promise<void> {
    await this.limited("hold", this.session.hold(span, witnesses[0]?.dmaBuf));
    const { held } = this.session;
    if (held === undefined) return;
    this.#record.device("device-held", { cause: { source: "hold", detail: HOLD_NAMES[held] } });
  }

  /** Of a device that another process has open nothing can be held or closed. */
  async #besideOwner(
    act: ResetAct,
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    cause: Cause,
  ): Promise<void> {
    for (const held of victims) held.acknowledged = true;
    this.#begin(victims, act.reason, cause);
    try {
      await this.#bounce(act, keepers, cause);
    } finally {
      await this.#enforce();
    }
  }

  async #make(act: ResetAct, cause: Cause, held: boolean): Promise<void> {
    await act.make(held);
    if (act.reason !== "device-reset" || !this.session.isOpen) return;
    this.#record.device("device-reset", { cause });
  }

  #suspend(held: HeldGrant, cause: Cause): void {
    if (held.grant.state !== "delivered") return;
    held.grant.step("suspend");
    this.#record.grant("suspended", held.grant, { cause });
    this.context.notify({ type: "suspended", grant: held.grant.id });
  }

  async #restore(held: HeldGrant): Promise<void> {
    // Its end may have begun meanwhile, or it was renewed with another that is not valid.
    if (held.grant.state !== "suspended") return;
    const liveness = await this.#alive(held);
    if (liveness === "revoked" || liveness === undefined) {
      this.#begin([held], "device-error", {
        source: "probe",
        detail: "not valid after the bounce",
      });
      await this.#enforce();
      return;
    }
    const after = await this.#remap(held);
    // Its end may have begun meanwhile; then that goes on, and nothing is restored.
    if (held.grant.state !== "suspended") return;
    held.grant.step("restore");
    this.#record.grant("restored", held.grant, { after });
    this.context.notify({ type: "restored", grant: held.grant.id, after });
  }

  /** Mappings that Bargate made are made again; the importer's own are its affair. */
  async #remap(held: HeldGrant): Promise<After> {
    const old = held.mapping;
    if (old === undefined) {
      return IMPORTER_DRIVERS.get(held.grant.plan.importer.driver.value)?.afterBounce ?? "dead";
    }
    delete held.mapping;
    await this.#dropArea(old);
    try {
      held.mapping = await this.#mapInto(held, old.iommufd, old.ioas, old.iova);
      return "resumable";
    } catch (error) {
      await this.#closeCopy(old.iommufd);
      if (!(error instanceof RefusedError)) throw error;
      // The importer has changed its address space; it can ask for another mapping.
      return "dead";
    }
  }

  // ── plumbing ────────────────────────────────────────────────────────────────────────────────────

  async #mapInto(
    held: HeldGrant,
    iommufd: Fd,
    ioas: number,
    iova: bigint | undefined,
  ): Promise<Mapping> {
    const { plan } = held.grant;
    const length = plan.ranges.reduce((sum, range) => sum + range.length, 0n);
    const at = await explained(
      `map ${plan.export} for importer ${plan.importer.name}`,
      () =>
        this.lane.ioasMapFile({
          iommufd,
          ioas,
          dmaBuf: held.dmaBuf,
          start: 0n,
          length,
          ...(iova === undefined ? {} : { iova }),
          writeable: plan.rule.access === "read-write",
        }),
    );
    return { iommufd, ioas, iova: at, length };
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = Promise.allSettled([run]).then(() => this.context.onTurn());
    return run;
  }

  #tracked(end: Promise<void>): Promise<void> {
    this.#ends.add(end);
    return end.finally(() => this.#ends.delete(end));
  }

  /** For work that nobody awaits: a failure is trouble, never silence. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) =>
      this.#record.trouble({ source: "engine", detail: messageOf(error) })
    );
  }
}

/** Of a grant whose end has begun. */
function reasonOf({ grant }: HeldGrant): EndReason {
  return grant.reason ?? "failed";
}

function isLocked(error: unknown): boolean {
  return error instanceof HostNotReadyError && error.cause instanceof KernelError &&
    error.cause.errnoName === "EAGAIN";
}

/**
 * The packet that tells an importer of its grant.
 *
 * @param held the grant
 * @param fdName name in `LISTEN_FDNAMES`, of a descriptor given at the start
 */
export function grantedPacket(held: HeldGrant, fdName?: string): BargatePacket {
  const { grant, mapping } = held;
  const size = grant.plan.ranges.reduce((sum, range) => sum + range.length, 0n);
  return {
    type: "granted",
    grant: grant.id,
    export: grant.plan.export,
    ...(fdName === undefined ? {} : { fdName }),
    size: `0x${size.toString(16)}`,
    access: grant.plan.rule.access,
    ...(mapping === undefined ? {} : { iova: `0x${mapping.iova.toString(16)}` }),
  };
}
