/**
 * The process that holds devices open while importers use slices of them. Its death is the end of
 * everything it granted; while it lives, it watches devices and importers, and ends what must end.
 *
 * @module
 */
import { type BargatePacket, PROTOCOL } from "./channel.ts";
import type { Clock } from "./clock.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { DeviceGuard, grantedPacket, type Urgency } from "./device_guard.ts";
import { DomainReset } from "./domain_reset.ts";
import { DeniedError, HostNotReadyError, InterruptedError, RefusedError } from "./errors.ts";
import { messageOf } from "./guard_context.ts";
import type { Cause, EventLog } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { EndReason } from "./end.ts";
import { type HeldGrant, isActive } from "./held_grant.ts";
import { ImporterDesk } from "./importer_desk.ts";
import type {
  ImporterContext,
  ImporterEnd,
  ImporterProcess,
  ImporterSource,
} from "./importer_process.ts";
import type { ChildEnd, Kernel, Lane, Watch } from "./kernel.ts";
import { ObservationDesk } from "./observation_desk.ts";
import { ObservationPost, type ObserverChoice } from "./observation_post.ts";
import type { Observation } from "./observers/observation.ts";
import type { Plan, PlannedGrant } from "./plan.ts";
import { isHitWith } from "./reset_domain.ts";
import {
  type GrantHit,
  hitsOf,
  outcomeOf,
  type ResetMethod,
  type ResetOutcome,
  type ResetReach,
} from "./reset_outcome.ts";
import { refusedBy } from "./refusal.ts";
import { SharedIommufd } from "./shared_iommufd.ts";
import { GroupAccess } from "./group_access.ts";
import type { Files } from "../host/files.ts";
import { virtualFunctions } from "../host/read_snapshot.ts";
import { BorrowedSession } from "./borrowed_session.ts";
import type { GuardedSession } from "./guarded_session.ts";
import type { DeviceTarget } from "./device_target.ts";
import { DeviceSession } from "./session.ts";
import type { VfTokenSource } from "./vf_token.ts";

/** How often what is and what should be are compared, ms. */
const RECONCILE_EVERY_MS = 5_000;
/** Opening a device tries a reset of it, for which PCI Express gives a function up to 60 s. */
const OPEN_LIMIT_MS = 90_000;

/** What a guardian needs from around it. */
export interface GuardianContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: EventLog;
  /** How long a call of an end may take before it is late, ms. */
  readonly limitMs: number;
  /** For looking at the owners of borrowed devices. */
  readonly files: Files;
  /** What is watched by consent. */
  readonly observe?: ObserverChoice;
  /** What virtual functions are opened with. */
  readonly vfTokenFor?: VfTokenSource;
}

/** How a guarded run ended. */
export interface GuardedEnd {
  /** How the program ended, if Bargate started it. */
  readonly child?: ChildEnd;
  /** A revoke was late, or its end could not be seen. */
  readonly trouble: boolean;
}

/** Holds devices, grants and one importer. */
export class Guardian {
  readonly #guards = new Map<string, DeviceGuard>();
  readonly #groups = new Map<string, GroupAccess>();
  readonly #iommufd: SharedIommufd;
  readonly #desk: ObservationDesk;
  readonly #post: ObservationPost;
  readonly #janitor: Lane;
  /** Watches of the owners of borrowed devices. */
  readonly #owners: Watch[] = [];
  #source: ImporterSource | undefined;
  #importer: ImporterProcess | undefined;
  #trouble = false;
  /** Name of the signal that asked for the end. */
  #stopping: string | undefined;
  readonly #stop = Promise.withResolvers<void>();
  #callOffReconcile: (() => void) | undefined;

  /**
   * @param plan what to export; it has grants of one importer
   * @param context what is around the guardian
   */
  constructor(private readonly plan: Plan, private readonly context: GuardianContext) {
    const importers = new Set(plan.grants.map(({ importerName }) => importerName));
    if (importers.size > 1) {
      throw new DeniedError(
        `Cannot give one program the grants of several importers (${[...importers].join(", ")})`,
      );
    }
    this.#iommufd = new SharedIommufd(context.kernel);
    this.#janitor = context.kernel.openLane("janitor", "shared");
    this.#desk = new ObservationDesk({
      guards: () => [...this.#guards.values()],
      background: (work) => this.#background(work),
    });
    this.#post = this.#observers();
  }

  /** PCI addresses of the devices that are open. */
  get devices(): readonly string[] {
    return [...this.#guards.values()].filter(({ session }) => session.isOpen)
      .map(({ session }) => session.target.address);
  }

  /**
   * Makes sure of the importer before any device is opened.
   *
   * @param source how to come by the importer; the guardian owns it from here on
   * @throws what the source says, and then nothing has been opened
   * @throws {InterruptedError} if {@linkcode shutdown} was called meanwhile
   */
  async meet(source: ImporterSource): Promise<void> {
    this.#source = source;
    try {
      this.#goOn();
      await Promise.race([source.meet(this.#lent()), this.#stop.promise]);
      this.#goOn();
    } catch (error) {
      await this.#finish("failed", { source: "engine", detail: messageOf(error) });
      throw refusedBy(`meet importer ${source.name}`, error);
    }
  }

  /**
   * Opens the devices and makes the exports. All or nothing.
   *
   * @throws {HostNotReadyError} if a device cannot be opened, or is another one
   * @throws {RefusedError} if the kernel refuses an export
   * @throws {InterruptedError} if {@linkcode shutdown} was called meanwhile
   */
  async open(): Promise<void> {
    this.context.kernel.makeNonDumpable();
    try {
      await this.#post.open();
      for (const [, grants] of Map.groupBy(this.plan.grants, ({ device }) => device.address)) {
        this.#goOn();
        const guard = await this.#openDevice(grants);
        for (const grant of grants) {
          this.#goOn();
          await this.#soon(`export from ${grant.device.address}`, guard.export(grant));
        }
      }
      this.#goOn();
    } catch (error) {
      await this.#finish("failed", { source: "engine", detail: "an export failed" });
      throw refusedBy("open the devices and export from them", error);
    }
    this.#scheduleReconcile();
  }

  /**
   * Gives the importer its grants and stays until it has gone, and all grants with it.
   *
   * @param source how to come by the importer
   * @returns how it ended
   * @throws {RefusedError} if there is no importer to be had; everything has ended then
   * @throws {InterruptedError} if {@linkcode shutdown} was called before it had its grants
   */
  async run(source: ImporterSource): Promise<GuardedEnd> {
    let end: ImporterEnd;
    try {
      this.#goOn();
      const importer = await this.#start(source);
      end = await importer.ended;
      this.context.log.record({
        type: "importer-ended",
        importer: importer.name,
        cause: end.cause,
      });
    } catch (error) {
      await this.#finish("failed", { source: "engine", detail: messageOf(error) });
      throw refusedBy(`stay for importer ${source.name}`, error);
    }
    await this.#finish("importer-gone", { source: end.cause.source });
    const { child } = end;
    return { ...(child === undefined ? {} : { child }), trouble: this.#trouble };
  }

  /**
   * Ends all grants gracefully, then asks the importer to end; whatever devices do, it is asked
   * within the grace and the limit.
   *
   * @param signal what asked for it: `SIGTERM`
   */
  async shutdown(signal: string): Promise<void> {
    this.#stopping ??= signal;
    this.#stop.resolve();
    const grace = Math.max(0, ...this.plan.grants.map(({ rule }) => rule.graceMs));
    const ends = this.#endAll("shutdown", { source: "signal", detail: signal }, "graceful");
    await this.#within(grace + this.context.limitMs, ends);
    this.#guarded(() => this.#importer?.askToEnd());
  }

  /**
   * Resets a device that this guardian has open.
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
    domain = false,
  ): Promise<ResetOutcome | undefined> {
    const reset = await this.#resetOf(address, method);
    return await reset?.run(domain, { source: "operator", detail });
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
    const cause: Cause = { source: "operator", detail };
    const ways = this.#guardsHit(functions).map(async (guard) => ({
      device: guard.session.target.address,
      grants: await guard.makeWay(cause),
    }));
    return outcomeOf(await Promise.all(ways));
  }

  #guardsHit(functions: readonly string[]): readonly DeviceGuard[] {
    return [...this.#guards.values()].filter(({ session }) => isHitWith(session.target, functions));
  }

  /** A device that was closed, with all its grants, can be another guardian's by now. */
  async #resetOf(address: string, method: ResetMethod): Promise<DomainReset | undefined> {
    const guard = this.#guards.get(address);
    // Between two generations it is closed too, but that is over when its turn is.
    const isOpen = await guard?.exclusively(() => Promise.resolve(guard.session.isOpen));
    if (guard === undefined || isOpen !== true) return undefined;
    return new DomainReset(
      guard,
      [...this.#guards.values()],
      method,
      (physfn) => virtualFunctions(this.context.files, physfn),
    );
  }

  // ── opening ─────────────────────────────────────────────────────────────────────────────────────

  async #openDevice(grants: readonly PlannedGrant[]): Promise<DeviceGuard> {
    const [first] = grants;
    if (first === undefined) throw new DeniedError("Cannot open a device without grants");
    const { kernel, log } = this.context;
    const { address } = first.device;
    const lane = kernel.openLane(address);
    try {
      const guard = await this.#soon(`open ${address}`, this.#openSession(first, lane));
      this.#guards.set(address, guard);
      log.record({
        type: guard.session.revocable ? "device-opened" : "device-borrowed",
        device: address,
        generation: guard.session.generation,
      });
      return guard;
    } catch (error) {
      await this.#within(this.context.limitMs, lane.end());
      throw error;
    }
  }

  async #openSession(grant: PlannedGrant, lane: Lane): Promise<DeviceGuard> {
    const { kernel, clock, log, limitMs } = this.context;
    const session = await this.#session(grant, lane);
    const guard = new DeviceGuard(session, lane, {
      kernel,
      clock,
      log,
      limitMs,
      notify: (packet, fds) => this.#notify(packet, fds),
      onTrouble: () => this.#trouble = true,
      onTurn: () => this.#guarded(() => this.#lookForLast()),
    });
    try {
      await this.#post.add(guard);
      return guard;
    } catch (error) {
      // Also what it was borrowed with: the first error is the one that is told.
      await session.dispose().catch((failure: unknown) => this.#failed(failure));
      throw error;
    }
  }

  /** Bargate's own, or the owner's. */
  async #session(grant: PlannedGrant, lane: Lane): Promise<GuardedSession> {
    const { kernel, files, clock } = this.context;
    const target: DeviceTarget = grant.device;
    if (target.owner === undefined) {
      return await DeviceSession.open(kernel, lane, this.#groupOf(grant), target);
    }
    const session = await BorrowedSession.open(
      { kernel, files, clock, lane },
      target,
      target.owner,
    );
    try {
      this.#watchOwner(session);
    } catch (error) {
      await session.dispose();
      throw error;
    }
    return session;
  }

  #watchOwner(session: BorrowedSession): void {
    const { pid, pidfd } = session.owner;
    const watch = this.context.kernel.watch(pidfd, () => {
      // A process that has ended stays readable.
      watch.stop();
      session.ownerEnded();
      const cause: Cause = { source: "pidfd", detail: `process ${pid}, the owner, has ended` };
      const guard = this.#guards.get(session.target.address);
      if (guard !== undefined) this.#background(guard.endAll("owner-gone", cause, "immediate"));
    });
    this.#owners.push(watch);
  }

  /** @throws {InterruptedError} if the end was asked for */
  #goOn(): void {
    if (this.#stopping !== undefined) throw new InterruptedError(this.#stopping);
  }

  /** Waits for a call of the opening, which must not keep the tool for ever. */
  async #soon<T>(what: string, call: Promise<T>): Promise<T> {
    const done = await this.#within(OPEN_LIMIT_MS, call.then((value) => ({ value })));
    if (done !== undefined) return done.value;
    this.#trouble = true;
    throw new HostNotReadyError(
      `Cannot ${what}: the kernel has not answered within ${OPEN_LIMIT_MS / 1000} s`,
    );
  }

  /** Devices of one IOMMU group share what owns the group's DMA. */
  #groupOf(grant: PlannedGrant): GroupAccess {
    const key = grant.iommuGroup === undefined ? grant.device.address : `group ${grant.iommuGroup}`;
    const known = this.#groups.get(key) ??
      new GroupAccess(this.context.kernel, this.#iommufd, this.context.vfTokenFor);
    this.#groups.set(key, known);
    return known;
  }

  /** What is seen is taken in one place, whoever saw it. */
  #observers(): ObservationPost {
    const { kernel, clock, log, observe } = this.context;
    const context = {
      kernel,
      clock,
      tell: (observation: Observation) => this.#desk.take(observation),
      failed: (error: unknown) => this.#failed(error),
      beforeReset: (devices: readonly string[], cause: Cause) =>
        this.#desk.beforeReset(devices, cause),
      late: (cause: Cause) => this.#late(cause),
    };
    return new ObservationPost(context, log, observe);
  }

  // ── the importer ────────────────────────────────────────────────────────────────────────────────

  async #start(source: ImporterSource): Promise<ImporterProcess> {
    this.#source = source;
    const given = this.#standing().filter((held) =>
      isActive(held) && held.grant.plan.importer.mapping === "importer"
    );
    const buffers = given.map((held) => ({ name: fdNameOf(held), fd: held.dmaBuf }));
    const importer = await source.start(buffers, this.#lent());
    this.#importer = importer;
    // Looking at it takes its time, and what asked for the end meanwhile found nobody to tell.
    if (!importer.inherits) this.#goOn();
    this.context.log.record({ ...importer.begun, importer: importer.name });
    this.#welcome(importer, given);
    this.#lookForLast();
    return importer;
  }

  /** Says what there is, hands over what the importer does not have yet, and begins to listen. */
  #welcome(importer: ImporterProcess, given: readonly HeldGrant[]): void {
    this.#notify({ type: "hello", v: PROTOCOL });
    for (const held of given) {
      if (importer.inherits) this.#tell(held);
      else this.#hand(importer, held);
    }
    const desk = new ImporterDesk(this.#janitor, {
      standing: () => this.#standing(),
      guardOf: (held) => this.#guardOf(held),
      notify: (packet) => void this.#notify(packet),
      background: (work) => this.#background(work),
      discard: (fd) => this.#discard(fd),
    });
    importer.channel.listen({
      packet: (packet, fds) => desk.answer(packet, fds),
      refused: (why) => this.#refused(why),
      ended: () => importer.hungUp(),
    });
  }

  /** It has the buffer by now. Its end may have begun meanwhile; then it learns of that instead. */
  #tell(held: HeldGrant): void {
    this.#guardOf(held).delivered(held);
    this.#notify(grantedPacket(held, fdNameOf(held)));
  }

  /** A buffer whose end has begun meanwhile goes to nobody. */
  #hand(importer: ImporterProcess, held: HeldGrant): void {
    if (!isActive(held)) return;
    if (this.#notify(grantedPacket(held), [held.dmaBuf])) this.#guardOf(held).delivered(held);
    else importer.hungUp();
  }

  #lookForLast(): void {
    // Devices take their turns by themselves: another one may be at making its grants again.
    const renewing = [...this.#guards.values()].some((guard) => guard.renewing);
    if (!renewing && this.#standing().length === 0) this.#importer?.nothingLeft();
  }

  /** What whoever comes by the importer needs. */
  #lent(): ImporterContext {
    const { kernel, clock } = this.context;
    return {
      kernel,
      clock,
      discard: (fd) => this.#discard(fd),
      refused: (why) => this.#refused(why),
      onError: (error) => this.#failed(error),
    };
  }

  #refused(why: string): void {
    const importer = this.#source?.name;
    this.context.log.record({
      type: "importer-refused",
      ...(importer === undefined ? {} : { importer }),
      cause: { source: "channel", detail: why },
    });
  }

  #notify(packet: BargatePacket, fds: readonly Fd[] = []): boolean {
    try {
      return this.#importer?.channel.send(packet, fds) ?? false;
    } catch (error) {
      // An end does not fail because its importer cannot be told of it.
      this.#failed(error);
      return false;
    }
  }

  /**
   * Closes a descriptor that an importer sent. It can be anything: the close of a lingering socket,
   * or of a file of the importer's own file system, takes as long as the importer likes, and fails as it
   * likes.
   */
  #discard(fd: Fd): void {
    closeOnLane(this.context.kernel, this.#janitor, fd).catch((error: unknown) =>
      this.#refused(`a descriptor that was sent: ${messageOf(error)}`)
    );
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * Ends everything and gives everything back. A device whose calls do not return is left to the
   * kernel, which ends its grants as soon as it can; that is trouble, but no reason to hang.
   */
  async #finish(reason: EndReason, cause: Cause): Promise<void> {
    const done = this.#endAll(reason, cause, "immediate")
      .then(() => Promise.all([...this.#guards.values()].map((guard) => guard.settled())))
      .then(() => this.#dispose())
      .then(() => true);
    const finished = await this.#within(2 * this.context.limitMs, done);
    if (finished === undefined) {
      const detail = "the ends are left to the kernel, which has not answered in time";
      this.#late({ source: "watchdog", detail });
    }
    this.#hangUp();
  }

  /** Devices end side by side: a stuck one delays no other. */
  async #endAll(reason: EndReason, cause: Cause, urgency: Urgency): Promise<void> {
    const ends = [...this.#guards.values()].map((guard) => guard.endAll(reason, cause, urgency));
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === "rejected") this.#failed(end.reason);
    }
  }

  async #dispose(): Promise<void> {
    const ends = [...this.#guards.values()].map((guard) => guard.dispose());
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === "rejected") this.#failed(end.reason);
    }
    this.#guarded(() => this.#iommufd.close());
    this.#groups.clear();
    this.#guards.clear();
  }

  /** Stops listening and watching: what needs no device. */
  #hangUp(): void {
    this.#callOffReconcile?.();
    const [importer, source] = [this.#importer, this.#source];
    this.#importer = this.#source = undefined;
    // What one of them cannot close keeps none of the others.
    this.#guarded(() => importer?.close());
    this.#guarded(() => source?.close());
    this.#guarded(() => this.#post.stop());
    for (const watch of this.#owners.splice(0)) watch.stop();
    this.#background(this.#janitor.end());
  }

  #scheduleReconcile(): void {
    this.#callOffReconcile = this.context.clock.after(RECONCILE_EVERY_MS, () => {
      const looks = [...this.#guards.values()].map((guard) => guard.reconcile());
      this.#background(Promise.all(looks).then(() => undefined));
      this.#scheduleReconcile();
    });
  }

  #standing(): readonly HeldGrant[] {
    return [...this.#guards.values()].flatMap((guard) => guard.standing);
  }

  #guardOf({ grant }: HeldGrant): DeviceGuard {
    const guard = this.#guards.get(grant.plan.device.address);
    if (guard === undefined) throw new RefusedError(`Cannot find the device of grant ${grant.id}`);
    return guard;
  }

  /** For work that nobody awaits: a failure is trouble, never silence. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => this.#failed(error));
  }

  /** For callbacks of the event loop, where a throw would end the process. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#late({ source: "engine", detail: messageOf(error) });
  }

  #late(cause: Cause): void {
    this.#trouble = true;
    this.context.log.record({ type: "late", cause });
  }

  /** @returns what the work gives, or undefined if it takes longer; it goes on then, unattended */
  async #within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
    const timeUp = Promise.withResolvers<undefined>();
    const callOff = this.context.clock.after(ms, () => {
      timeUp.resolve(undefined);
      this.#background(work.then(() => undefined));
    });
    try {
      return await Promise.race([work, timeUp.promise]);
    } finally {
      callOff();
    }
  }
}

/** `LISTEN_FDNAMES` is for the child, which knows the export by its name in the policy. */
function fdNameOf({ grant }: HeldGrant): string {
  return grant.plan.rule.name;
}
