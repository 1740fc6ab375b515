/**
 * One run of a scenario with its faults, and what must hold of it.
 *
 * @module
 */
import type { GuardedEnd } from "../../../engine/guardian.ts";
import type { ImporterSource } from "../../../engine/importer_process.ts";
import { StartedProgram } from "../../../engine/started_program.ts";
import { SimSocket } from "../../../sim/sockets.ts";
import { SimDmaBuf, type SimVfioDevice } from "../../../sim/vfio.ts";
import { type Scene, settle, SSD } from "../support.ts";
import type { FaultyKernel, Meanwhile } from "./faulty_kernel.ts";

/** Errors for people. */
const TYPED = new Set([
  "DeniedError",
  "DomainError",
  "HostNotReadyError",
  "InterruptedError",
  "LaneEndedError",
  "RefusedError",
]);
const BARE_ERRNO = /failed: E[A-Z]+\b/;
/** Steps of the clock after which what goes on must be over, and how long each is, ms. */
const [PATIENCE, STEP_MS] = [60, 5_000];
/** Turns that work may take without the clock. */
const TURNS = 5;

/** Which event may follow which, of one grant. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  "": ["planned"],
  planned: ["exported", "ended"],
  exported: ["delivered", "revoking", "ended"],
  delivered: ["suspended", "revoking", "ended"],
  suspended: ["restored", "revoking", "ended"],
  restored: ["suspended", "revoking", "ended"],
  revoking: ["ended"],
  ended: [],
};

/** What a scenario runs in. */
export class Trial {
  /** What did not hold. */
  readonly violations: string[] = [];
  readonly #buffers: SimDmaBuf[] = [];
  /** By grant; of a device one is made at a time. */
  readonly #bufferOf = new Map<string, SimDmaBuf>();
  /** Descriptors of others. */
  readonly #foreign = new Set<number>();
  readonly #devices: readonly SimVfioDevice[];
  /** Whether each unbind that was asked for is over. */
  readonly #unbinds: { over: boolean }[] = [];
  #run: Promise<GuardedEnd> | undefined;
  #result: GuardedEnd | undefined;
  /** How the importer ends, unless it is a child. */
  onExit: (() => void) | undefined;
  /** The owner sends its descriptor on a connection. */
  lends = false;
  /** The owner of a borrowed device ends. */
  onOwnerEnd: (() => void) | undefined;

  constructor(readonly scene: Scene, private readonly faulty: FaultyKernel) {
    faulty.hooks = {
      meanwhile: (what) => this.#meanwhile(what),
      pass: (ms) => scene.clock.advance(ms),
      spawned: () => this.#keepAll(),
    };
    this.#devices = [...scene.kernel.devices.values()];
    for (const device of this.#devices) {
      device.onExport = (buffer) => {
        this.#buffers.push(buffer);
        const grant = this.#beingMade(device);
        if (grant !== undefined) this.#bufferOf.set(grant, buffer);
      };
    }
    for (const { number } of scene.kernel.table.open()) this.#foreign.add(number);
  }

  /** Descriptors that are not Bargate's. */
  foreign(...numbers: readonly number[]): void {
    for (const number of numbers) this.#foreign.add(number);
  }

  get alive(): boolean {
    return this.scene.kernel.children.some(({ end }) => end === undefined);
  }

  /** Does something that may be refused, and gives it all the time that it needs. */
  async act<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    let done = false;
    const working = Promise.resolve().then(work).catch((error: unknown) => {
      this.#judge(what, error);
      return undefined;
    }).finally(() => done = true);
    for (let turn = 0; turn < TURNS && !done; turn++) await settle();
    for (let step = 0; step < PATIENCE && !done; step++) await this.scene.clock.advance(STEP_MS);
    if (!done) this.violations.push(`${what} does not end`);
    this.check();
    return done ? await working : undefined;
  }

  #judge(what: string, error: unknown): void {
    const name = error instanceof Error ? error.name : String(error);
    const message = error instanceof Error ? error.message : "";
    if (!TYPED.has(name)) this.violations.push(`${what} throws ${name}: ${message}`);
    if (BARE_ERRNO.test(message)) this.violations.push(`${what} says a bare errno: ${message}`);
  }

  /** Opens the devices and starts the program. @returns whether it runs */
  async start(source: ImporterSource = program()): Promise<boolean> {
    const { guardian } = this.scene;
    const opened = await this.act("open", async () => {
      await guardian.open();
      return true;
    });
    if (opened !== true) return false;
    this.#run = guardian.run(source);
    void Promise.allSettled([this.#run]);
    await settle();
    this.#keepAll();
    this.check();
    return true;
  }

  /** Ends the importer and sees to it that all is over then. */
  async end(): Promise<void> {
    const { scene } = this;
    this.#keepPackets();
    this.exit();
    const run = this.#run;
    if (run !== undefined) this.#result = await this.act("run", () => run);
    await scene.clock.advance(PATIENCE * STEP_MS);
    await this.faulty.answered();
    await scene.clock.advance(PATIENCE * STEP_MS);
    this.onOwnerEnd?.();
    await scene.clock.advance(STEP_MS);
    this.check();
    this.#checkEnd();
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────

  async #meanwhile(what: Meanwhile): Promise<void> {
    const { guardian } = this.scene;
    switch (what) {
      case "nothing":
        return;
      case "exit":
        return this.exit();
      case "reset":
        return this.#beside("reset meanwhile", guardian.reset(SSD, "function", "test"));
      case "shutdown":
        return this.#beside("shutdown meanwhile", guardian.shutdown("SIGTERM"));
      case "removal":
        return await this.scene.touch("remove", "open");
      case "unbind":
        return this.unbind();
    }
  }

  #beside(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#judge(what, error));
  }

  /** The importer ends. */
  exit(): void {
    this.#keepAll();
    const child = this.scene.kernel.children.find(({ end }) => end === undefined);
    if (child !== undefined) this.scene.kernel.exit(child);
    this.onExit?.();
    this.onExit = undefined;
  }

  /** The driver is to give the device up. */
  unbind(): void {
    const { kernel } = this.scene;
    if (![...kernel.devices.values()].some(({ fn }) => fn.address === SSD)) return;
    const unbind = { over: false };
    this.#unbinds.push(unbind);
    kernel.unbind(SSD).then(() => unbind.over = true);
    const path = `/devices/pci0000:00/${SSD}/vfio-dev/vfio0`;
    for (const socket of kernel.uevents) {
      socket.push({ action: "remove", path, values: new Map([["SUBSYSTEM", "vfio-dev"]]) });
    }
  }

  /** A hostile importer keeps every buffer that it gets, beyond its own end. */
  #keepAll(): void {
    const { kernel } = this.scene;
    for (const child of kernel.children) {
      for (const [name, number] of child.fds) {
        this.foreign(number);
        const kept = kernel.table.get(number);
        if (!(kept instanceof SimDmaBuf) || name.startsWith("kept ")) continue;
        if (child.fds.has(`kept ${name}`)) continue;
        const copy = kernel.table.duplicate(number);
        (child.fds as Map<string, number>).set(`kept ${name}`, number);
        this.foreign(copy);
      }
    }
    this.#keepPackets();
  }

  /** What waits in its socket is taken, and never given back. */
  #keepPackets(): void {
    const { kernel } = this.scene;
    for (const { fds, end } of kernel.children) {
      const socket = kernel.table.get(fds.get("bargate") ?? -1);
      if (end === undefined && socket instanceof SimSocket) socket.queue.splice(0);
    }
  }

  // ── what must hold ──────────────────────────────────────────────────────────────────────────────

  /** The grant that was planned last, and of which no more is known. */
  #beingMade(device: SimVfioDevice): string | undefined {
    const { events } = this.scene;
    const last = events.findLast((event) => event.device === device.fn.address && event.grant);
    return last?.type === "planned" ? last.grant : undefined;
  }

  /**
   * Whatever was told to have ended cannot be imported. What was never told to be exported nobody has
   * got: a probe that failed can leave it in Bargate's own address space until the generation ends.
   */
  check(): void {
    const { events } = this.scene;
    const exported = new Set(
      events.filter(({ type }) => type === "exported").map(({ grant }) => grant),
    );
    for (const { grant = "", type, reason } of events) {
      if (type !== "ended" || !exported.has(grant)) continue;
      const buffer = this.#bufferOf.get(grant);
      const told = reason === "failed" && events.some((event) => event.type === "late");
      const reachable = buffer !== undefined && !buffer.revoked && buffer.references > 0;
      if (reachable && !told) this.#violated(`a grant ended (${reason}) and can be imported`);
    }
  }

  #violated(what: string): void {
    if (!this.violations.includes(what)) this.violations.push(what);
  }

  #checkEnd(): void {
    this.#checkStories();
    const { table } = this.scene.kernel;
    const children = new Set(this.scene.kernel.children.flatMap(({ fds }) => [...fds.values()]));
    // The connection to an owner says that its copy is closed: where that failed, it stays.
    const stays = this.lends && !this.scene.events.some(({ type }) => type === "exported");
    const left = table.open().filter(({ number, kind }) =>
      !this.#foreign.has(number) && !children.has(number) && !(stays && kind === "socket")
    );
    if (left.length > 0) this.#violated(`left open: ${left.map(({ kind }) => kind).join(", ")}`);
    if (this.#devices.some(({ isOpen }) => isOpen)) this.#violated("the device is open");
    if (this.#unbinds.some(({ over }) => !over)) this.#violated("the unbind waits still");
    if (this.#buffers.some((buffer) => !buffer.revoked && buffer.references > 0)) {
      this.#violated("a buffer can be imported after the end of all");
    }
  }

  #checkStories(): void {
    const { events } = this.scene;
    const states = new Map<string, string>();
    for (const { type, grant, reason, means, cause } of events) {
      if (BARE_ERRNO.test(cause?.detail ?? "")) {
        this.#violated(`the audit says a bare errno: ${type} ${cause?.detail}`);
      }
      if (grant === undefined || type === "means-insufficient") continue;
      const before = states.get(grant) ?? "";
      if (FOLLOWS[before]?.includes(type) !== true) this.#violated(`${before} → ${type}`);
      if (type === "ended" && reason === undefined) this.#violated("an end without a reason");
      // With a means it was seen, and `failed` says only why it had to be.
      const unseen = type === "ended" && reason === "failed" && means === undefined;
      if (unseen && before !== "planned" && !this.#troubleTold) {
        this.#violated("an end that failed was not told");
      }
      states.set(grant, type);
    }
    for (const state of states.values()) {
      if (state !== "ended") this.#violated(`a grant is ${state} after the end`);
    }
    const late = events.some(({ type }) => type === "late");
    if (late && this.#result?.trouble === false) this.#violated("late, and no trouble");
  }

  get #troubleTold(): boolean {
    const late = this.scene.events.some(({ type }) => type === "late");
    return this.#result === undefined || (this.#result.trouble && late);
  }
}

/** The importer as a child. */
export function program(): ImporterSource {
  return new StartedProgram("engine", {
    recipient: {
      account: { uid: 65534, gid: 65534, name: "nobody" },
      executable: "/usr/bin/importer",
    },
    argv: ["importer"],
    env: {},
    stdoutToStderr: false,
  });
}
