/**
 * One device and the grants that live on it: exporting, ending, resetting. Nothing of one device
 * interleaves, and nothing of one device waits for another.
 *
 * An end is done when it is *seen*: Bargate's descriptor is the buffer's last reference, or the
 * device is held revoked, or the generation is over and the buffer cannot be imported any more.
 *
 * @module
 */
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import type { BargatePacket } from "./channel.ts";
import type { Clock } from "./clock.ts";
import { RefusedError } from "./errors.ts";
import type { After, Cause, EventFacts, EventLog } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { EndReason, Means } from "./end.ts";
import { Grant } from "./grant.ts";
import { type HeldGrant, isActive, type Mapping } from "./held_grant.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import type { PlannedGrant } from "./plan.ts";
import { explained } from "./refusal.ts";
import type { DeviceSession } from "./session.ts";

/** How the device is bounced. */
export type ResetMethod = "function" | "decode";

/** How long a graceful end lies between two looks at the references, ms. */
const LOOK_EVERY_MS = 10;

/** What a guard needs from around it. */
export interface GuardContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: EventLog;
  /** How long a call of an end may take before it is reported as late, ms. */
  readonly limitMs: number;
  /** Tells the importer. */
  readonly notify: (packet: BargatePacket, fds?: readonly Fd[]) => void;
  /** A revoke was late, or its end could not be seen. */
  readonly onTrouble: () => void;
}

/** A device with its grants. */
export class DeviceGuard {
  readonly #held: HeldGrant[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  readonly #ends = new Set<Promise<void>>();
  readonly #onReopen: (() => Promise<unknown>)[] = [];

  /**
   * @param session the open device; the guard owns it
   * @param lane of the session, for mappings
   * @param context what is around it
   */
  constructor(
    readonly session: DeviceSession,
    private readonly lane: Lane,
    private readonly context: GuardContext,
  ) {}

  /** Grants of which no end was seen. */
  get standing(): readonly HeldGrant[] {
    return this.#held.filter(({ grant }) => grant.standing);
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
  async export(plan: PlannedGrant): Promise<HeldGrant> {
    const grant = new Grant(crypto.randomUUID(), plan, this.session.generation);
    this.#record("planned", grant);
    try {
      const what = `${plan.export} (BAR ${plan.bar} of ${plan.device.address})`;
      const dmaBuf = await this.session.export(what, plan.bar, plan.ranges);
      const held: HeldGrant = { grant, dmaBuf, acknowledged: false };
      this.#held.push(held);
      grant.step("export");
      this.#record("exported", grant);
      return held;
    } catch (error) {
      grant.fail();
      this.#record("ended", grant, { reason: "failed", cause: causeOf("export", error) });
      throw error;
    }
  }

  /** The importer has it. */
  delivered(held: HeldGrant): void {
    held.grant.step("deliver");
    this.#record("delivered", held.grant);
    const expires = held.grant.plan.rule.expiresMs;
    if (expires === undefined) return;
    held.callOffExpiry = this.context.clock.after(expires, () => {
      this.#background(this.end([held], "expired", { source: "timer" }, "graceful"));
    });
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
      if (held.grant.state !== "exported" || held.mapping !== undefined) {
        this.context.kernel.close(iommufd);
        throw new RefusedError(
          `Cannot map ${held.grant.plan.export}: the grant is ${held.grant.state}${
            held.mapping === undefined ? "" : " and mapped already"
          }`,
        );
      }
      try {
        held.mapping = await this.#mapInto(held, iommufd, ioas, iova);
      } catch (error) {
        this.context.kernel.close(iommufd);
        throw error;
      }
      if (held.grant.state !== "exported") {
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
    urgency: "graceful" | "immediate",
  ): Promise<void> {
    const end = this.#end(victims, reason, cause, urgency);
    this.#ends.add(end);
    return end.finally(() => this.#ends.delete(end));
  }

  /** Resolves when every end that has begun is over, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#ends]);
  }

  async #end(
    victims: readonly HeldGrant[],
    reason: EndReason,
    cause: Cause,
    urgency: "graceful" | "immediate",
  ): Promise<void> {
    // An immediate end waits for nobody, not for the grace of an end that has begun either.
    if (urgency === "immediate") { for (const held of victims) held.acknowledged = true; }
    const begun = victims.filter(isActive);
    for (const held of begun) this.#beginEnd(held, reason, cause);
    if (urgency === "graceful") await this.#askToLetGo(begun, reason);
    await this.#exclusive(() => this.#enforce(begun.filter(({ grant }) => grant.standing), reason));
  }

  /**
   * Resets the device. Grants with `onReset: revoke` end before the reset can validate their buffers
   * again; the others are suspended and restored.
   *
   * @param method `function`: VFIO_DEVICE_RESET; `decode`: memory decode off and on again
   * @param cause who asked
   * @returns what became of the grants
   * @throws {RefusedError} if the device cannot be reset
   */
  reset(method: ResetMethod, cause: Cause): Promise<{ ended: number; restored: number }> {
    return this.#exclusive(async () => {
      if (!this.session.isOpen) {
        throw new RefusedError(
          `Cannot reset ${this.session.target.address}: all its grants have ended, and it is closed`,
        );
      }
      const active = this.#held.filter(isActive);
      const victims = active.filter(({ grant }) => grant.plan.rule.onReset === "revoke");
      const keepers = active.filter(({ grant }) => grant.plan.rule.onReset === "restore");
      if (victims.length === 0) await this.#bounce(method, keepers, cause);
      else await this.#resetAndEnd(method, victims, keepers, cause);
      return { ended: victims.length, restored: keepers.length };
    });
  }

  /** Compares what should be with what is: a revoke or un-revoke that nothing told of is found late. */
  reconcile(): Promise<void> {
    return this.#exclusive(async () => {
      if (!this.session.isOpen || this.session.held) return;
      const cause: Cause = { source: "probe" };
      const lost: HeldGrant[] = [];
      for (const held of this.#held.filter(isActive)) {
        const liveness = await this.session.probe(held.dmaBuf);
        if (liveness === "revoked" && held.grant.state === "delivered") {
          if (held.grant.plan.rule.onReset === "revoke") lost.push(held);
          else this.#suspend(held, cause);
        } else if (liveness === "live" && held.grant.state === "suspended") {
          await this.#restore(held);
        }
      }
      const ending = lost.filter(isActive);
      for (const held of ending) this.#beginEnd(held, "decode-off", cause);
      await this.#enforce(ending, "decode-off");
    });
  }

  /** Closes the device and gives everything back. Grants must have ended. */
  dispose(): Promise<void> {
    return this.#exclusive(() => this.session.dispose());
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  #beginEnd(held: HeldGrant, reason: EndReason, cause: Cause): void {
    held.callOffExpiry?.();
    held.grant.revoke(reason);
    this.#record("revoking", held.grant, { reason, cause });
  }

  /** Waits until the importers have let go, at most their grace. */
  async #askToLetGo(victims: readonly HeldGrant[], reason: EndReason): Promise<void> {
    const { clock, notify } = this.context;
    const deadline = clock.now() +
      Math.max(0, ...victims.map(({ grant }) => grant.plan.rule.graceMs));
    for (const { grant } of victims) {
      const withinMs = grant.plan.rule.graceMs;
      notify({ type: "revoking", grant: grant.id, reason, withinMs });
    }
    // The kernel tells nobody that a reference has gone, so this looks from time to time.
    while (victims.some((held) => !this.#hasLetGo(held)) && clock.now() < deadline) {
      await new Promise<void>((resolve) => clock.after(LOOK_EVERY_MS, resolve));
    }
  }

  #hasLetGo(held: HeldGrant): boolean {
    if (!held.grant.standing || held.acknowledged) return true;
    return held.mapping === undefined && this.#references(held) === 1;
  }

  #references({ dmaBuf }: HeldGrant): number {
    return this.context.kernel.dmaBufFacts(dmaBuf).references;
  }

  /** Takes the means from precise to blunt until every victim's end is seen. */
  async #enforce(victims: readonly HeldGrant[], reason: EndReason): Promise<void> {
    if (victims.length === 0) return;
    const left: HeldGrant[] = [];
    for (const held of victims) {
      if (this.#outlived(held)) await this.#finishDead(held, "close");
      else if (!await this.#endPrecisely(held)) left.push(held);
    }
    const active = this.#held.filter(isActive);
    if (active.length > 0) {
      if (left.length > 0) await this.#renew(left, active, reason);
    } else if (left.length > 0 || this.standing.length === 0) {
      await this.#endGeneration(left, "close");
    }
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
    if (references === 1) {
      await this.#finish(held, means);
      return true;
    }
    const others = `${references - 1} other references to the buffer are left`;
    const detail = failure === undefined ? others : `${others}; ${failure}`;
    this.#record("means-insufficient", held.grant, {
      means,
      cause: { source: "references", detail },
    });
    return false;
  }

  /** @returns why it could not be unmapped; then the references decide */
  async #unmap(held: HeldGrant): Promise<string | undefined> {
    const mapping = held.mapping;
    if (mapping === undefined) return undefined;
    delete held.mapping;
    try {
      await this.#limited(
        `unmap ${held.grant.plan.export}`,
        this.lane.ioasUnmap(mapping.iommufd, mapping.ioas, mapping.iova, mapping.length),
      );
      return undefined;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return `the unmap was answered with ${error.errnoName}`;
    } finally {
      this.context.kernel.close(mapping.iommufd);
    }
  }

  /** Closes the device: what is left of the victims, and every buffer of the generation, is dead. */
  async #endGeneration(victims: readonly HeldGrant[], means: Means): Promise<void> {
    if (this.session.isOpen) {
      await this.#limited(`close ${this.session.target.address}`, this.session.close());
      this.#recordDevice("device-closed");
    }
    for (const held of victims) await this.#finishDead(held, means);
  }

  /**
   * Ends a grant whose buffer must be dead by now, if it is. Where nobody can probe, the means has
   * been seen to be taken: the generation is over, or the command register keeps the memory bit off.
   */
  async #finishDead(held: HeldGrant, means: Means): Promise<void> {
    if (await this.session.probe(held.dmaBuf) !== "live") {
      await this.#finish(held, means);
      return;
    }
    this.context.onTrouble();
    held.grant.fail();
    this.#record("ended", held.grant, {
      reason: "failed",
      means,
      cause: { source: "probe", detail: "the buffer can still be imported" },
    });
    await this.#giveBack(held);
  }

  /** The end was seen: record it, tell the importer, give the buffer back. */
  async #finish(held: HeldGrant, means: Means): Promise<void> {
    const reason = held.grant.reason ?? "failed";
    held.grant.ended(means);
    this.#record("ended", held.grant, { reason, means, after: "dead" });
    this.context.notify({ type: "revoked", grant: held.grant.id, reason, after: "dead" });
    await this.#giveBack(held);
  }

  /** Nothing of a grant that has ended is kept: no mapping, no copy of an iommufd, no buffer. */
  async #giveBack(held: HeldGrant): Promise<void> {
    await this.#unmap(held);
    await this.session.closeBuffer(held.dmaBuf);
    this.#held.splice(this.#held.indexOf(held), 1);
  }

  /**
   * A new generation: ends everything of this one, opens the device again, and exports again what
   * is still allowed. Old descriptors stay dead.
   */
  async #renew(
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    reason: EndReason,
    between: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const renewed = keepers.filter(isActive).map((held) => ({ held, mapping: held.mapping }));
    for (const { held } of renewed) {
      this.#beginEnd(held, reason, { source: "collateral", detail: "renewed with the device" });
      // The copy of the importer's iommufd serves the next generation.
      delete held.mapping;
    }
    try {
      await this.#endGeneration([...victims, ...renewed.map(({ held }) => held)], "new-generation");
      await this.session.reopen();
      this.#recordDevice("device-opened");
      for (const work of this.#onReopen) await work();
      await between();
      for (const { held, mapping } of renewed) await this.#exportAgain(held.grant.plan, mapping);
    } finally {
      const kept = new Set(this.#held.map(({ mapping }) => mapping?.iommufd));
      for (const { mapping } of renewed) {
        if (mapping !== undefined && !kept.has(mapping.iommufd)) {
          this.context.kernel.close(mapping.iommufd);
        }
      }
    }
  }

  async #exportAgain(plan: PlannedGrant, mapping: Mapping | undefined): Promise<void> {
    const held = await this.export(plan);
    if (mapping !== undefined) {
      await this.lane.ioasUnmap(mapping.iommufd, mapping.ioas, mapping.iova, mapping.length);
      held.mapping = await this.#mapInto(held, mapping.iommufd, mapping.ioas, mapping.iova);
    }
    const handsOver = plan.importer.mapping === "importer";
    if (handsOver || mapping !== undefined) this.delivered(held);
    this.context.notify(grantedPacket(held), handsOver ? [held.dmaBuf] : []);
  }

  // ── resetting ───────────────────────────────────────────────────────────────────────────────────

  async #resetAndEnd(
    method: ResetMethod,
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    cause: Cause,
  ): Promise<void> {
    const reason: EndReason = method === "decode" ? "decode-off" : "device-reset";
    for (const held of victims) this.#beginEnd(held, reason, cause);
    const reset = () => method === "function" ? this.#resetDevice(cause) : Promise.resolve();
    if (!this.session.target.canHold) {
      // Nothing can keep buffers revoked over the reset: the generation ends first.
      await this.#renew(victims, keepers, reason, reset);
      return;
    }
    await this.#limited(`hold ${this.session.target.address}`, this.session.hold());
    for (const held of victims) await this.#finishDead(held, "hold");
    try {
      await reset();
    } finally {
      // What was held stays dead only as long as nobody lets go of the hold, so the generation ends.
      if (keepers.length === 0) await this.#endGeneration([], "close");
      else await this.#renew([], keepers, reason);
    }
  }

  async #bounce(
    method: ResetMethod,
    keepers: readonly HeldGrant[],
    cause: Cause,
  ): Promise<void> {
    const suspended = keepers.filter(({ grant }) => grant.state === "delivered");
    for (const held of suspended) this.#suspend(held, cause);
    try {
      if (method === "function") {
        await this.#resetDevice(cause);
      } else {
        await this.#limited(`hold ${this.session.target.address}`, this.session.hold());
        await this.session.unhold();
      }
    } finally {
      for (const held of suspended) await this.#restore(held);
    }
  }

  async #resetDevice(cause: Cause): Promise<void> {
    await this.#limited(`reset ${this.session.target.address}`, this.session.reset());
    this.#recordDevice("device-reset", { cause });
  }

  #suspend(held: HeldGrant, cause: Cause): void {
    held.grant.step("suspend");
    this.#record("suspended", held.grant, { cause });
    this.context.notify({ type: "suspended", grant: held.grant.id });
  }

  async #restore(held: HeldGrant): Promise<void> {
    if (await this.session.probe(held.dmaBuf) === "revoked") {
      if (!isActive(held)) return;
      this.#beginEnd(held, "device-error", {
        source: "probe",
        detail: "not valid after the bounce",
      });
      await this.#enforce([held], "device-error");
      return;
    }
    if (held.grant.state !== "suspended") return;
    const after = await this.#remap(held);
    // Its end may have begun meanwhile; then that goes on, and nothing is restored.
    if (held.grant.state !== "suspended") return;
    held.grant.step("restore");
    this.#record("restored", held.grant, { after });
    this.context.notify({ type: "restored", grant: held.grant.id, after });
  }

  /** Mappings that Bargate made are made again; the importer's own are its affair. */
  async #remap(held: HeldGrant): Promise<After> {
    const old = held.mapping;
    if (old === undefined) {
      return IMPORTER_DRIVERS.get(held.grant.plan.importer.driver.value)?.afterBounce ?? "dead";
    }
    await this.lane.ioasUnmap(old.iommufd, old.ioas, old.iova, old.length);
    held.mapping = await this.#mapInto(held, old.iommufd, old.ioas, old.iova);
    return "resumable";
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
    this.#turn = Promise.allSettled([run]);
    return run;
  }

  /** Reports a call that takes too long, and goes on waiting for it: nothing is done before it returns. */
  async #limited<T>(what: string, call: Promise<T>): Promise<T> {
    const { clock, limitMs } = this.context;
    const callOff = clock.after(limitMs, () => {
      this.context.onTrouble();
      this.#recordDevice("late", {
        cause: { source: "watchdog", detail: `${what} has not returned after ${limitMs} ms` },
      });
    });
    try {
      return await call;
    } finally {
      callOff();
    }
  }

  /** For work that nobody awaits: a failure is trouble, never silence. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.context.onTrouble();
      this.#recordDevice("late", { cause: causeOf("engine", error) });
    });
  }

  #record(type: EventFacts["type"], grant: Grant, more: Partial<EventFacts> = {}): void {
    const { plan } = grant;
    this.context.log.record({
      type,
      generation: grant.generation,
      grant: grant.id,
      export: plan.export,
      device: plan.device.address,
      importer: plan.importer.name,
      ...more,
    });
  }

  #recordDevice(type: EventFacts["type"], more: Partial<EventFacts> = {}): void {
    const { session } = this;
    this.context.log.record({
      type,
      generation: session.generation,
      device: session.target.address,
      ...more,
    });
  }
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

function causeOf(source: string, error: unknown): Cause {
  return { source, detail: error instanceof Error ? error.message : String(error) };
}
