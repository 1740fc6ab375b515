/**
 * The process that holds devices open while importers use slices of them. Its death is the end of
 * everything it granted; while it lives, it watches devices and importers, and ends what must end.
 *
 * @module
 */
import type { DeviceGuard } from "./device_guard.ts";
import { DeviceOpening } from "./device_opening.ts";
import type { EndReason } from "./end.ts";
import { DeniedError, InterruptedError } from "./errors.ts";
import type { Cause } from "./event.ts";
import { messageOf } from "./guard_context.ts";
import { GuardedDevices } from "./guarded_devices.ts";
import type { GuardianContext } from "./guardian_context.ts";
import { ImporterLink } from "./importer_link.ts";
import { ImporterParting } from "./importer_parting.ts";
import type { ImporterEnd, ImporterSource } from "./importer_process.ts";
import type { ChildEnd } from "./kernel.ts";
import { ObservationDesk } from "./observation_desk.ts";
import { ObservationPost } from "./observation_post.ts";
import type { Observation } from "./observers/observation.ts";
import { OperatorDesk } from "./operator_desk.ts";
import type { Plan } from "./plan.ts";
import { ready, refusedBy } from "./refusal.ts";
import type { GrantHit, ResetMethod, ResetOutcome, ResetReach } from "./reset_outcome.ts";
import { Supervision } from "./supervision.ts";

/** How often what is and what should be are compared, ms. */
const RECONCILE_EVERY_MS = 5_000;

/** How a guarded run ended. */
export interface GuardedEnd {
  /** How the program ended, if Bargate started it. */
  readonly child?: ChildEnd;
  /** A revoke was late, or its end could not be seen. */
  readonly trouble: boolean;
}

/** Holds devices, grants and one importer. */
export class Guardian {
  readonly #supervision: Supervision;
  readonly #devices: GuardedDevices;
  readonly #opening: DeviceOpening;
  readonly #link: ImporterLink;
  readonly #operators: OperatorDesk;
  readonly #desk: ObservationDesk;
  readonly #post: ObservationPost;
  readonly #parting: ImporterParting;
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
    const supervision = this.#supervision = new Supervision(context.clock, context.log);
    const devices = this.#devices = new GuardedDevices(supervision);
    const link = this.#link = new ImporterLink(context, devices, supervision);
    this.#parting = new ImporterParting(context, (work) => supervision.guarded(work));
    this.#operators = new OperatorDesk(devices, context.files);
    this.#desk = new ObservationDesk({
      guards: () => devices.all,
      background: (work) => supervision.background(work),
    });
    this.#post = this.#observers();
    this.#opening = new DeviceOpening(context, this.#post, supervision, {
      notify: (packet, fds) => link.notify(packet, fds),
      onTurn: () => supervision.guarded(() => this.#lookForLast()),
      ownerEnded: (address, cause) => this.#ownerEnded(address, cause),
    });
  }

  /** PCI addresses of the devices that are open. */
  get devices(): readonly string[] {
    return this.#devices.all.filter(({ session }) => session.isOpen)
      .map(({ session }) => session.target.address);
  }

  /**
   * Makes sure of the importer before any device is opened to be exported from. Where the plan is of a
   * memory buffer, controllers have been opened before, to be asked (`askingForExport`).
   *
   * @param source how to come by the importer; the guardian owns it from here on
   * @throws what the source says, and then the guardian has opened nothing
   * @throws {InterruptedError} if {@linkcode shutdown} was called meanwhile
   */
  async meet(source: ImporterSource): Promise<void> {
    this.#link.take(source);
    try {
      this.#goOn();
      await Promise.race([source.meet(this.#link.lent()), this.#stop.promise]);
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
    const { kernel } = this.context;
    try {
      await ready("make this process non-dumpable", () => kernel.makeNonDumpable());
      await this.#post.open();
      for (const [, grants] of Map.groupBy(this.plan.grants, ({ device }) => device.address)) {
        this.#goOn();
        const guard = await this.#opening.open(grants);
        this.#opened(guard);
        await this.#opening.soon(`ask ${guard.session.target.address}`, guard.settleMemory());
        for (const grant of grants) {
          this.#goOn();
          const what = `export from ${grant.device.address}`;
          await this.#opening.soon(what, guard.export(grant));
        }
      }
      this.#goOn();
    } catch (error) {
      await this.#finish("failed", { source: "engine", detail: "an export failed" });
      throw refusedBy("open the devices and export from them", error);
    }
    this.#scheduleReconcile();
  }

  #opened(guard: DeviceGuard): void {
    this.#devices.add(guard);
    const { revocable, target, generation } = guard.session;
    this.context.log.record({
      type: revocable ? "device-opened" : "device-borrowed",
      device: target.address,
      generation,
    });
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
      const importer = await this.#link.start(source, () => this.#goOn());
      this.#lookForLast();
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
    const { trouble } = this.#supervision;
    return { ...(child === undefined ? {} : { child }), trouble };
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
    const cause = { source: "signal", detail: signal };
    const ends = this.#devices.endAll("shutdown", cause, "graceful");
    await this.#supervision.within(grace + this.context.limitMs, ends);
    this.#supervision.guarded(() => this.#parting.begin(this.#link.askToEnd()));
  }

  /**
   * A further signal asks for the end: a program that was asked to end, and whose grants have all
   * ended, is killed.
   *
   * @param signal what asked for it
   * @returns `killed`: the end goes its way, and soon; `grants`: some stand, or are being made;
   * `nothing`: none does, and there was nobody to kill
   */
  insist(signal: string): "killed" | "grants" | "nothing" {
    const { renewing, standing } = this.#devices;
    if (renewing || standing.length > 0) return "grants";
    let killed = false;
    this.#supervision.guarded(() => killed = this.#parting.insist(signal));
    return killed ? "killed" : "nothing";
  }

  // ── what operators ask ──────────────────────────────────────────────────────────────────────────

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
  reset(
    address: string,
    method: ResetMethod,
    detail: string,
    domain = false,
  ): Promise<ResetOutcome | undefined> {
    return this.#operators.reset(address, method, detail, domain);
  }

  /**
   * What a reset of a device would hit beyond it.
   *
   * @param address of the device
   * @param method how
   * @returns undefined if the device is not here
   * @throws {RefusedError} if the device cannot be reset
   */
  reach(address: string, method: ResetMethod): Promise<ResetReach | undefined> {
    return this.#operators.reach(address, method);
  }

  /**
   * The grants that resets of these functions would hit: on them, or on virtual functions of them.
   *
   * @param functions addresses
   */
  hitBy(functions: readonly string[]): readonly GrantHit[] {
    return this.#operators.hitBy(functions);
  }

  /**
   * Ends the grants that a reset of these functions ends; another process makes the reset.
   *
   * @param functions addresses
   * @param detail who asked
   * @returns what became of the grants; those that a reset does not end are `restored`
   */
  makeWay(functions: readonly string[], detail: string): Promise<ResetOutcome> {
    return this.#operators.makeWay(functions, detail);
  }

  // ── watching ────────────────────────────────────────────────────────────────────────────────────

  /** What is seen is taken in one place, whoever saw it. */
  #observers(): ObservationPost {
    const { kernel, clock, log, files, observe } = this.context;
    const context = {
      kernel,
      clock,
      tell: (observation: Observation) => this.#desk.take(observation),
      failed: (error: unknown) => this.#supervision.failed(error),
      beforeReset: (devices: readonly string[], cause: Cause) =>
        this.#desk.beforeReset(devices, cause),
      late: (cause: Cause) => this.#supervision.late(cause),
    };
    return new ObservationPost(context, log, files, observe);
  }

  #ownerEnded(address: string, cause: Cause): void {
    const end = this.#devices.at(address)?.endAll("owner-gone", cause, "immediate");
    if (end !== undefined) this.#supervision.background(end);
  }

  #scheduleReconcile(): void {
    this.#callOffReconcile = this.context.clock.after(RECONCILE_EVERY_MS, () => {
      this.#supervision.background(this.#devices.reconcile());
      this.#scheduleReconcile();
    });
  }

  #lookForLast(): void {
    const { renewing, standing } = this.#devices;
    if (!renewing && standing.length === 0) this.#link.nothingLeft();
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  /** @throws {InterruptedError} if the end was asked for */
  #goOn(): void {
    if (this.#stopping !== undefined) throw new InterruptedError(this.#stopping);
  }

  /**
   * Ends everything and gives everything back. A device whose calls do not return is left to the
   * kernel, which ends its grants as soon as it can; that is trouble, but no reason to hang.
   */
  async #finish(reason: EndReason, cause: Cause): Promise<void> {
    const done = this.#devices.endAll(reason, cause, "immediate")
      .then(() => this.#devices.settled())
      .then(() => this.#dispose())
      .then(() => true);
    const finished = await this.#supervision.within(2 * this.context.limitMs, done);
    if (finished === undefined) {
      const detail = "the ends are left to the kernel, which has not answered in time";
      this.#supervision.late({ source: "watchdog", detail });
    }
    this.#hangUp();
  }

  async #dispose(): Promise<void> {
    await this.#devices.dispose();
    this.#opening.dispose();
    this.#devices.clear();
  }

  /** Stops listening and watching: what needs no device. */
  #hangUp(): void {
    this.#callOffReconcile?.();
    this.#parting.stop();
    this.#link.close();
    this.#supervision.guarded(() => this.#post.stop());
    this.#opening.stop();
    this.#link.endLane();
  }
}
