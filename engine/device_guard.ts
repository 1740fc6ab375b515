/**
 * One device and the grants that live on it: exporting, ending, resetting. What is done to one device
 * never interleaves, and never waits for another device.
 *
 * An end is done when it is *seen*: Bargate's descriptor is the buffer's last reference, or the
 * device is held revoked, or the generation is over and the buffer cannot be imported any more.
 *
 * This is the door; each thing that is done has its own room in `guard/`. A room knows those that it
 * needs: mappings, grants, the means of ending, new generations, enforcement, restores, resets.
 *
 * @module
 */
import type { EndReason } from "./end.ts";
import { RefusedError } from "./errors.ts";
import type { Cause } from "./event.ts";
import type { Fd } from "./fd.ts";
import { DeviceGrants } from "./guard/device_grants.ts";
import { Enforcement, type Urgency } from "./guard/enforcement.ts";
import { GrantEnds } from "./guard/grant_ends.ts";
import { ImporterMappings } from "./guard/importer_mappings.ts";
import { MemoryUpkeep } from "./guard/memory_upkeep.ts";
import { ObservedResets } from "./guard/observed_resets.ts";
import { OperatorResets, type ResetAct } from "./guard/operator_resets.ts";
import { Renewals } from "./guard/renewals.ts";
import { Restores } from "./guard/restores.ts";
import { Turns } from "./guard/turns.ts";
import {
  type GuardContext,
  type GuardedDevice,
  GuardRecorder,
  messageOf,
} from "./guard_context.ts";
import type { GuardedSession } from "./guarded_session.ts";
import { type HeldGrant, isActive } from "./held_grant.ts";
import type { Lane } from "./kernel.ts";
import type { PlannedGrant } from "./plan.ts";
import type { GrantFate } from "./reset_outcome.ts";

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

/** A device with its grants. */
export class DeviceGuard {
  readonly #device: GuardedDevice;
  readonly #turns: Turns;
  readonly #mappings: ImporterMappings;
  readonly #grants: DeviceGrants;
  readonly #ends: GrantEnds;
  readonly #renewals: Renewals;
  readonly #enforcement: Enforcement;
  readonly #memory: MemoryUpkeep;
  readonly #operatorResets: OperatorResets;
  /** Resets and revokes that others make. */
  readonly observed: ObservedResets;

  /**
   * @param session the open device; the guard owns it
   * @param lane of the session, for mappings
   * @param context what is around it
   */
  constructor(readonly session: GuardedSession, lane: Lane, context: GuardContext) {
    const record = new GuardRecorder(context, session, () => this.#grants.holders());
    const device = this.#device = { session, lane, context, record };
    const turns = this.#turns = new Turns(() => context.onTurn());
    const mappings = this.#mappings = new ImporterMappings(device);
    const grants = this.#grants = new DeviceGrants(device, mappings, (held) => this.#expire(held));
    const ends = this.#ends = new GrantEnds(device, grants, mappings);
    const renewals = this.#renewals = new Renewals(device, grants, mappings, ends);
    const enforcement = this.#enforcement = new Enforcement(device, turns, grants, ends, renewals);
    const memory = this.#memory = new MemoryUpkeep(device, turns, grants, renewals, enforcement);
    renewals.onReopen(() => memory.reopened());
    const restores = new Restores(grants, mappings, ends, enforcement);
    this.#operatorResets = new OperatorResets(
      device,
      grants,
      ends,
      renewals,
      enforcement,
      restores,
      memory,
    );
    this.observed = new ObservedResets(
      device,
      turns,
      grants,
      ends,
      enforcement,
      restores,
      memory,
    );
  }

  /** Grants of which no end was seen. */
  get standing(): readonly HeldGrant[] {
    return this.#grants.standing;
  }

  /** Whether grants have ended that are being made again: that none stands is not the last word. */
  get renewing(): boolean {
    return this.#renewals.running;
  }

  /** What to do again in each new generation: arming interrupts. */
  onReopen(work: () => Promise<unknown>): void {
    this.#renewals.onReopen(work);
  }

  /**
   * Waits until nothing is being done to the device, and keeps others from it.
   *
   * @param work must not wait for another turn of this device
   */
  exclusively<T>(work: (turn: GuardTurn) => Promise<T>): Promise<T> {
    const turn: GuardTurn = {
      guard: this,
      aroundReset: (act, cause) => this.#operatorResets.around(act, cause),
    };
    return this.#turns.take(() => work(turn));
  }

  /** Waits for a call of a reset, and tells if it takes too long. */
  limited<T>(verb: string, call: Promise<T>): Promise<T> {
    return this.#device.record.limited(`${verb} ${this.session.target.address}`, call);
  }

  /** Within a turn: holds the device and lets go of it, so that its buffers bounce. */
  holdAndLetGo(): Promise<void> {
    return this.#operatorResets.holdAndLetGo();
  }

  // ── beginning ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes sure that the controller's memory buffer is where the plan has it, before anything is
   * exported; later generations see to it themselves.
   *
   * @throws {HostNotReadyError} if it is not
   * @throws {RefusedError} if the kernel refuses an access to its registers
   */
  settleMemory(): Promise<void> {
    return this.#turns.take(() => this.#memory.settle());
  }

  /**
   * Exports a planned grant.
   *
   * @returns the grant, exported
   * @throws {RefusedError} with nothing left of it
   */
  export(plan: PlannedGrant): Promise<HeldGrant> {
    return this.#turns.take(() => this.#grants.export(plan));
  }

  /** The importer has it. @returns false if its end has begun meanwhile */
  delivered(held: HeldGrant): boolean {
    return this.#grants.delivered(held);
  }

  /**
   * Maps a grant into an importer's I/O address space (`mapping: bargate`).
   *
   * @param iommufd the importer's; the guard owns it from here on, also if this throws
   * @returns where it is mapped
   * @throws {RefusedError} if the kernel refuses
   */
  map(held: HeldGrant, iommufd: Fd, ioas: number, iova: bigint | undefined): Promise<bigint> {
    return this.#turns.take(async () => {
      try {
        refuseUnlessFree(held);
        held.mapping = await this.#mappings.map(held, iommufd, ioas, iova);
      } catch (error) {
        await this.#mappings.closeCopy(iommufd);
        throw error;
      }
      if (!isActive(held)) {
        throw new RefusedError(`Cannot map ${held.grant.plan.export}: the grant is ending`);
      }
      this.delivered(held);
      return held.mapping.iova;
    });
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * Ends grants.
   *
   * @param victims which; those whose end has begun or is over are left alone
   * @param reason kept, logged and sent
   * @param cause where it was learned
   * @param urgency whether importers are asked first
   */
  end(
    victims: readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: Urgency,
  ): Promise<void> {
    return this.#enforcement.end(() => victims, reason, cause, urgency);
  }

  /** Ends all grants, and those that are being made: nothing is exported from here on. */
  endAll(reason: EndReason, cause: Cause, urgency: Urgency): Promise<void> {
    this.#grants.seal(reason, cause);
    return this.#enforcement.end(() => this.#grants.all, reason, cause, urgency);
  }

  /** Resolves when every end that has begun is over, well or not. */
  settled(): Promise<void> {
    return this.#enforcement.settled();
  }

  /** For a timer, which awaits nothing: a failure is trouble, never silence. */
  #expire(held: HeldGrant): void {
    this.end([held], "expired", { source: "timer" }, "graceful").catch((error: unknown) =>
      this.#device.record.trouble({ source: "engine", detail: messageOf(error) })
    );
  }

  /** Ends what stands, closes the device and gives everything back. */
  dispose(): Promise<void> {
    const grants = this.#grants;
    const { reason, cause } = grants.seal("failed", { source: "engine" });
    return this.#turns.take(async () => {
      this.#memory.stop();
      for (const held of grants.all) held.acknowledged = true;
      grants.begin(grants.all, reason, cause);
      await this.#enforcement.enforce();
      await this.#ends.withGeneration(grants.ending, "close");
      for (const held of this.standing) await grants.finishUnseen(held, "nothing is left to try");
      await this.#device.record.attempt(
        `give ${this.session.target.address} back`,
        () => this.session.dispose(),
      );
    });
  }
}

function refuseUnlessFree({ grant, mapping }: HeldGrant): void {
  const { state, plan } = grant;
  if ((state === "exported" || state === "delivered") && mapping === undefined) return;
  const mapped = mapping === undefined ? "" : " and mapped already";
  throw new RefusedError(`Cannot map ${plan.export}: the grant is ${state}${mapped}`);
}
