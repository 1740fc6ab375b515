/**
 * The process that holds devices open while importers use slices of them. Its death is the end of
 * everything it granted; while it lives, it watches devices and importers, and ends what must end.
 *
 * @module
 */
import { type BargatePacket, ImporterChannel, PROTOCOL } from "./channel.ts";
import type { Clock } from "./clock.ts";
import {
  DeviceGuard,
  grantedPacket,
  type ResetMethod,
  type ResetOutcome,
  type Urgency,
} from "./device_guard.ts";
import { DeniedError, HostNotReadyError, InterruptedError, RefusedError } from "./errors.ts";
import { messageOf } from "./guard_context.ts";
import type { Cause, EventLog } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { EndReason } from "./end.ts";
import { type HeldGrant, isActive } from "./held_grant.ts";
import { ImporterDesk } from "./importer_desk.ts";
import type { Child, ChildEnd, Kernel, Lane, Watch } from "./kernel.ts";
import type { Plan, PlannedGrant } from "./plan.ts";
import type { Recipient } from "./recipient.ts";
import { GroupAccess } from "./group_access.ts";
import { explained } from "./refusal.ts";
import { DeviceSession, type DeviceTarget } from "./session.ts";

/** How often what is and what should be are compared, ms. */
const RECONCILE_EVERY_MS = 5_000;
/** Name of the importer channel in `LISTEN_FDNAMES`. */
const CHANNEL_NAME = "bargate";
const SIGTERM = 15;
/** Opening a device tries a reset of it, for which PCI Express gives a function up to 60 s. */
const OPEN_LIMIT_MS = 90_000;

/** What a guardian needs from around it. */
export interface GuardianContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: EventLog;
  /** How long a call of an end may take before it is late, ms. */
  readonly limitMs: number;
}

/** The program to give the grants to. */
export interface Command {
  readonly recipient: Recipient;
  /** `argv[0]` included. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdoutToStderr: boolean;
}

/** How a guarded run ended. */
export interface GuardedEnd {
  readonly child: ChildEnd;
  /** A revoke was late, or its end could not be seen. */
  readonly trouble: boolean;
}

/** A started importer. */
interface Importer {
  readonly name: string;
  readonly child: Child;
  readonly channel: ImporterChannel;
}

/** Holds devices, grants and one importer. */
export class Guardian {
  readonly #guards = new Map<string, DeviceGuard>();
  readonly #groups = new Map<string, GroupAccess>();
  readonly #watches: { readonly watch: Watch; readonly fd: Fd }[] = [];
  readonly #janitor: Lane;
  #importer: Importer | undefined;
  #trouble = false;
  /** Name of the signal that asked for the end. */
  #stopping: string | undefined;
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
    this.#janitor = context.kernel.openLane("janitor");
  }

  /** PCI addresses of the devices that are open. */
  get devices(): readonly string[] {
    return [...this.#guards.values()].filter(({ session }) => session.isOpen)
      .map(({ session }) => session.target.address);
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
      throw error;
    }
    this.#scheduleReconcile();
  }

  /**
   * Starts the importer with its descriptors and stays until it has ended and all grants with it.
   *
   * @param command the program
   * @returns how the program ended
   * @throws {RefusedError} if it cannot be started; everything has ended then
   * @throws {InterruptedError} if {@linkcode shutdown} was called before it was started
   */
  async run(command: Command): Promise<GuardedEnd> {
    let child: ChildEnd;
    try {
      this.#goOn();
      const importer = await this.#start(command);
      child = await this.#childEnd(importer.child);
      this.context.log.record({
        type: "importer-ended",
        importer: importer.name,
        cause: { source: "pidfd", detail: describeEnd(child) },
      });
    } catch (error) {
      await this.#finish("failed", { source: "engine", detail: messageOf(error) });
      throw error;
    }
    await this.#finish("importer-gone", { source: "pidfd" });
    return { child, trouble: this.#trouble };
  }

  /**
   * Ends all grants gracefully, then asks the importer to end; whatever devices do, it is asked
   * within the grace and the limit.
   *
   * @param signal what asked for it: `SIGTERM`
   */
  async shutdown(signal: string): Promise<void> {
    this.#stopping ??= signal;
    const grace = Math.max(0, ...this.plan.grants.map(({ rule }) => rule.graceMs));
    const ends = this.#endAll("shutdown", { source: "signal", detail: signal }, "graceful");
    await this.#within(grace + this.context.limitMs, ends);
    const pidfd = this.#importer?.child.pidfd;
    if (pidfd?.open) this.context.kernel.signal(pidfd, SIGTERM);
  }

  /**
   * Resets a device that this guardian has open.
   *
   * @param address of the device
   * @param method how
   * @param detail who asked
   * @returns what became of the grants, or undefined if the device is not here
   * @throws {RefusedError} if the device cannot be reset
   */
  async reset(
    address: string,
    method: ResetMethod,
    detail: string,
  ): Promise<ResetOutcome | undefined> {
    return await this.#guards.get(address)?.reset(method, { source: "operator", detail });
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
        type: "device-opened",
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
    const target: DeviceTarget = grant.device;
    const session = await DeviceSession.open(kernel, lane, this.#groupOf(grant), target);
    const guard = new DeviceGuard(session, lane, {
      kernel,
      clock,
      log,
      limitMs,
      notify: (packet, fds) => this.#notify(packet, fds),
      onTrouble: () => this.#trouble = true,
    });
    try {
      await this.#observe(guard, "request", "device-removed");
      await this.#observe(guard, "error", "device-error");
      return guard;
    } catch (error) {
      await session.close();
      throw error;
    }
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
    const known = this.#groups.get(key) ?? new GroupAccess(this.context.kernel);
    this.#groups.set(key, known);
    return known;
  }

  /** Ends the device's grants when the kernel signals that it is asked for, or has failed. */
  async #observe(
    guard: DeviceGuard,
    which: "request" | "error",
    reason: EndReason,
  ): Promise<void> {
    const { kernel } = this.context;
    const fd = kernel.eventFd(`${which} interrupt of ${guard.session.target.address}`);
    const rearm = () => guard.session.arm(which, fd);
    const watch = kernel.watch(fd, () =>
      this.#guarded(() => {
        if (kernel.readEventFd(fd) === 0n) return;
        const cause: Cause = { source: `${which}-interrupt` };
        this.#background(guard.endAll(reason, cause, "immediate"));
      }));
    this.#watches.push({ watch, fd });
    guard.onReopen(rearm);
    await rearm();
  }

  // ── the importer ────────────────────────────────────────────────────────────────────────────────

  async #start(command: Command): Promise<Importer> {
    const { kernel, log } = this.context;
    const [name] = this.plan.grants.map(({ importer }) => importer.name);
    if (name === undefined) throw new DeniedError("Cannot start an importer without grants");
    const given = this.#standing().filter((held) =>
      isActive(held) && held.grant.plan.importer.mapping === "importer"
    );
    const [ours, theirs] = kernel.socketPair(`importer channel of ${name}`);
    const fds = [
      ...given.map((held) => ({ name: fdNameOf(held), fd: held.dmaBuf })),
      { name: CHANNEL_NAME, fd: theirs },
    ];
    const channel = new ImporterChannel(kernel, ours, {
      sender: () => this.#importer?.child,
      discard: (fd) => this.#discard(fd),
      onError: (error) => this.#failed(error),
    });
    try {
      const child = await explained(`start ${command.recipient.executable}`, () =>
        kernel.spawn({
          path: command.recipient.executable,
          argv: command.argv,
          env: command.env,
          fds,
          account: command.recipient.account,
          stdoutToStderr: command.stdoutToStderr,
        }));
      const importer: Importer = { name, child, channel };
      this.#importer = importer;
      log.record({
        type: "importer-started",
        importer: name,
        cause: {
          source: "exec",
          detail: `process ${child.pid}, account ${command.recipient.account.name}`,
        },
      });
    } catch (error) {
      channel.close();
      throw error;
    } finally {
      kernel.close(theirs);
    }
    return this.#welcome(this.#importer, given);
  }

  /** The child has its descriptors by now: says what they are, and begins to listen to it. */
  #welcome(importer: Importer, given: readonly HeldGrant[]): Importer {
    this.#notify({ type: "hello", v: PROTOCOL });
    for (const held of given) {
      // Its end may have begun while the child was started; then it learns of that instead.
      this.#guardOf(held).delivered(held);
      this.#notify(grantedPacket(held, fdNameOf(held)));
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
      refused: (why) => this.#refused(importer, why),
      ended: () => {},
    });
    return importer;
  }

  #refused(importer: Importer, why: string): void {
    this.context.log.record({
      type: "importer-refused",
      importer: importer.name,
      cause: { source: "channel", detail: why },
    });
  }

  #notify(packet: BargatePacket, fds: readonly Fd[] = []): boolean {
    return this.#importer?.channel.send(packet, fds) ?? false;
  }

  /**
   * Closes a descriptor that an importer sent. It can be anything: the close of a lingering socket,
   * or of a file of the importer's own file system, takes as long as the importer likes, and fails as it
   * likes.
   */
  #discard(fd: Fd): void {
    this.#janitor.close(fd).catch((error: unknown) => {
      this.context.log.record({
        type: "importer-refused",
        ...(this.#importer === undefined ? {} : { importer: this.#importer.name }),
        cause: { source: "channel", detail: `a descriptor that was sent: ${messageOf(error)}` },
      });
    });
  }

  async #childEnd(child: Child): Promise<ChildEnd> {
    const { kernel } = this.context;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watch = kernel.watch(child.pidfd, resolve);
    try {
      await promise;
      const end = kernel.childEnd(child);
      if (end === undefined) throw new RefusedError(`Cannot tell how process ${child.pid} ended`);
      return end;
    } finally {
      watch.stop();
    }
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
    if (finished === undefined) this.#trouble = true;
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
    for (const group of this.#groups.values()) group.close();
    this.#groups.clear();
    this.#guards.clear();
  }

  /** Stops listening and watching: what needs no device. */
  #hangUp(): void {
    this.#callOffReconcile?.();
    const importer = this.#importer;
    this.#importer = undefined;
    importer?.channel.close();
    if (importer?.child.pidfd.open) this.context.kernel.close(importer.child.pidfd);
    for (const { watch, fd } of this.#watches.splice(0)) {
      watch.stop();
      this.context.kernel.close(fd);
    }
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
    this.#trouble = true;
    this.context.log.record({
      type: "late",
      cause: { source: "engine", detail: messageOf(error) },
    });
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

function describeEnd(end: ChildEnd): string {
  return end.how === "exited" ? `exit status ${end.status}` : `signal ${end.signal}`;
}
