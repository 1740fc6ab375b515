/**
 * One run of a scenario with its faults, and what must hold of it.
 *
 * @module
 */
import type { GuardedEnd } from "../../../engine/guardian.ts";
import type { Fd } from "../../../engine/fd.ts";
import type { ImporterSource } from "../../../engine/importer_process.ts";
import { StartedProgram } from "../../../engine/started_program.ts";
import type { Kernel } from "../../../engine/kernel.ts";
import { SimSocket } from "../../../sim/sockets.ts";
import { SimDeviceFile, SimDmaBuf, type SimVfioDevice } from "../../../sim/vfio.ts";
import { type Scene, settle, SSD } from "../support.ts";
import { Audit, BARE_ERRNO } from "./audit.ts";
import { Buffers } from "./buffers.ts";
import { become, replaceDevice, speakAsStranger } from "./deeds.ts";
import { Deliveries } from "./deliveries.ts";
import type { Deed, FaultyKernel, Meanwhile } from "./faulty_kernel.ts";
import { Resets } from "./resets.ts";

/** Errors for people. */
const TYPED = new Set([
  "DeniedError",
  "DomainError",
  "HostNotReadyError",
  "InterruptedError",
  "LaneEndedError",
  "RefusedError",
]);
/** Steps of the clock after which what goes on must be over, and how long each is, ms. */
const [PATIENCE, STEP_MS] = [60, 5_000];
/** The importer's account, and another. */
const [IMPORTER_UID, OTHER_UID] = [65534, 1234];
/** Turns that work may take without the clock. */
const TURNS = 5;

/** What a scenario runs in. */
export class Trial {
  /** What did not hold. */
  readonly violations: string[] = [];
  readonly buffers: Buffers;
  readonly audit: Audit;
  readonly deliveries: Deliveries;
  readonly resets: Resets;
  /** Descriptors of others. */
  readonly #foreign = new Set<number>();
  readonly #devices: SimVfioDevice[];
  /** Whether each unbind that was asked for is over. */
  readonly #unbinds: { over: boolean }[] = [];
  #run: Promise<GuardedEnd> | undefined;
  #result: GuardedEnd | undefined;
  #isEnding = false;
  readonly #watched = new Set<string>();
  readonly #copies: number[] = [];
  /** What lets go of buffers. */
  readonly #holds: (() => void)[] = [];
  #isKilled = false;
  readonly #atEnd: (() => void)[] = [];
  /** How the importer ends, unless it is a child. */
  onExit: (() => void) | undefined;
  /** The owner sends its descriptor on a connection. */
  lends = false;
  /** The owner of a borrowed device ends. */
  onOwnerEnd: (() => void) | undefined;

  constructor(readonly scene: Scene, private readonly faulty: FaultyKernel) {
    const violated = (what: string) => this.violated(what);
    const buffers = this.buffers = new Buffers(scene, violated);
    const audit = this.audit = new Audit(scene, buffers, violated);
    const others = (number: number) => this.#isOthers(number);
    const deliveries = new Deliveries(scene, buffers, audit, others, violated);
    this.deliveries = deliveries;
    this.resets = new Resets(scene, buffers, audit, violated);
    faulty.hooks = {
      meanwhile: (what, lane) => this.#meanwhile(what, lane),
      deed: (what) => this.#deed(what),
      killed: () => this.#kill(),
      over: (what, lane) => this.#checkOthers(what, lane),
      pass: (ms) => scene.clock.advance(ms),
      spawned: () => this.#keepAll(),
      called: (name, args) => deliveries.called(name, args),
      answered: (name, args, result) => {
        deliveries.answered(name, result);
        if (name === "addFileWatch") this.#watched.add(args[1] as string);
        if (name === "hotReset") this.#hotReset(args[0] as Fd);
      },
    };
    this.#devices = [...scene.kernel.devices.values()];
    for (const { number } of scene.kernel.table.open()) this.#foreign.add(number);
  }

  #hotReset({ number }: Fd): void {
    const file = this.scene.kernel.table.get(number);
    if (file instanceof SimDeviceFile) this.resets.hot(file.device.fn.address);
  }

  /** Whether a file is watched. */
  isWatched(path: string): boolean {
    return this.#watched.has(path);
  }

  /** Whether it was told that something of a device cannot be watched. */
  isUnobserved(address: string): boolean {
    return this.scene.events.some(({ type, device }) =>
      type === "unobserved" && device === address
    );
  }

  /** Whether the guardian has not begun to end. */
  get isOpen(): boolean {
    return this.#result === undefined && !this.#isEnding;
  }

  /** Looks once more when all is over. */
  atEnd(look: () => void): void {
    this.#atEnd.push(look);
  }

  /** Its port, for what is done without a guardian. */
  get port(): Kernel {
    return this.faulty.port;
  }

  /** Descriptors that are not Bargate's. */
  foreign(...numbers: readonly number[]): void {
    for (const number of numbers) this.#foreign.add(number);
  }

  #isOthers(number: number): boolean {
    return this.#foreign.has(number) ||
      this.scene.kernel.children.some(({ fds }) => [...fds.values()].includes(number));
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
    const wait = async () => {
      for (let step = 0; step < PATIENCE && !done; step++) await this.scene.clock.advance(STEP_MS);
    };
    await wait();
    // Where the kernel waits for an importer, so does everybody; that it does is told.
    if (!done && this.#holds.length > 0) {
      if (!this.isLate) this.violated(`${what} waits for an importer, and nobody is told`);
      this.#letGo();
      await wait();
    }
    if (!done) this.violated(`${what} does not end`);
    this.check();
    return done ? await working : undefined;
  }

  #judge(what: string, error: unknown): void {
    const name = error instanceof Error ? error.name : String(error);
    const message = error instanceof Error ? error.message : "";
    if (!TYPED.has(name)) this.violated(`${what} throws ${name}: ${message}`);
    if (BARE_ERRNO.test(message)) this.violated(`${what} says a bare errno: ${message}`);
  }

  /** Opens the devices and starts the program. @returns whether it runs */
  async start(source: ImporterSource = program()): Promise<boolean> {
    const { scene } = this;
    const { guardian } = scene;
    const opened = await this.act("open", async () => {
      await guardian.open();
      return true;
    });
    if (opened !== true) {
      this.#checkNothingLeft();
      return false;
    }
    const exported = new Set(scene.events.flatMap((it) => it.type === "exported" ? it.export : []));
    if (scene.plan.grants.some((grant) => !exported.has(grant.export))) {
      this.violated("the open succeeds without all of the grants");
    }
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
    this.#isEnding = true;
    this.exit();
    const run = this.#run;
    if (run !== undefined) this.#result = await this.act("run", () => run);
    await scene.clock.advance(PATIENCE * STEP_MS);
    this.#letGo();
    await this.faulty.answered();
    await scene.clock.advance(PATIENCE * STEP_MS);
    this.onOwnerEnd?.();
    this.check();
    for (const copy of this.#copies.splice(0)) scene.kernel.table.close(copy);
    await scene.clock.advance(STEP_MS);
    this.check();
    this.#checkEnd();
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────

  async #meanwhile(what: Meanwhile, lane: string): Promise<void> {
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
      case "removal of another":
        for (const address of this.#besides(lane)) {
          await this.scene.touch("remove", "open", address);
        }
        return;
      case "unbind":
        return this.unbind();
    }
  }

  /** Somebody else does something. */
  #deed(what: Deed): void {
    if (what === "exit") return this.exit();
    if (what === "hold") return this.#holdAll();
    if (what === "stranger") return speakAsStranger(this);
    if (what === "copy") return this.#copyDevices();
    const { kernel } = this.scene;
    if (what === "become") {
      for (const process of kernel.processes.values()) {
        if (process.identity.uid === IMPORTER_UID) become(process, OTHER_UID);
      }
      return;
    }
    const device = replaceDevice(kernel, SSD, what);
    if (device === undefined) return;
    this.#devices.push(device);
    this.buffers.watch(device);
    this.resets.watch(device);
  }

  /** A debugger has a copy of each device's descriptor: no close closes it. */
  #copyDevices(): void {
    const { table } = this.scene.kernel;
    // Where nobody can try whether a buffer is dead, the close alone decides.
    if (!table.open().some(({ kind }) => kind === "iommufd")) return;
    for (const { number, kind } of table.open()) {
      if (kind !== "vfio-device" || this.#isOthers(number)) continue;
      const copy = table.duplicate(number);
      this.foreign(copy);
      this.#copies.push(copy);
      this.deliveries.copies.add(copy);
    }
  }

  /** Whoever imports a buffer does not let go of it: what revokes it waits. */
  #holdAll(): void {
    for (const { buffer } of this.buffers.made) this.#holds.push(buffer.hold());
  }

  #letGo(): void {
    for (const letGo of this.#holds.splice(0)) letGo();
  }

  /** The kernel closes what a process had that is killed: nothing of it stays granted (invariant 4). */
  #kill(): void {
    const { kernel, plan } = this.scene;
    for (const { number } of kernel.table.open()) {
      if (!this.#isOthers(number)) kernel.table.close(number);
    }
    const isBorrowed = plan.grants.some(({ device }) => device.owner !== undefined);
    const isHeld = this.#holds.length > 0 || this.#copies.length > 0;
    if (!isBorrowed && !isHeld) {
      if (this.#devices.some(({ isOpen }) => isOpen)) this.violated("killed, and a device is open");
      if (this.buffers.all.some(isReachable)) this.violated("killed, and a buffer can be imported");
    }
    this.#isKilled = true;
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

  /** Whatever was told to have ended cannot be imported: what was never told to be exported nobody has. */
  check(): void {
    const { events } = this.scene;
    const exported = new Set(
      events.filter(({ type }) => type === "exported").map(({ grant }) => grant),
    );
    for (const { grant = "", type, reason } of events) {
      if (type !== "ended" || !exported.has(grant)) continue;
      const buffer = this.buffers.made.findLast((made) => made.grant === grant)?.buffer;
      const told = reason === "failed" && this.isLate;
      const reachable = buffer !== undefined && !buffer.revoked && buffer.references > 0;
      if (reachable && !told) this.violated(`a grant ended (${reason}) and can be imported`);
    }
  }

  /** A fault was made. */
  get isDisturbed(): boolean {
    return this.faulty.made.length > 0;
  }

  /** A call has not been answered yet. */
  get isKept(): boolean {
    return this.faulty.keeps;
  }

  /** It was killed. */
  get isKilled(): boolean {
    return this.#isKilled;
  }

  /** Something late was told. */
  get isLate(): boolean {
    return this.scene.events.some(({ type }) => type === "late");
  }

  /** Says once what does not hold. */
  violated(what: string): void {
    // What is killed does nothing more, and whoever waits for it here knows nothing of that.
    if (!this.#isKilled && !this.violations.includes(what)) this.violations.push(what);
  }

  /** Devices that a stuck call of that lane must not delay. */
  #besides(lane: string): readonly string[] {
    const addresses = new Set(this.scene.plan.grants.map(({ device }) => device.address));
    const apart = this.#devices.every(({ fn }) =>
      (fn.hotResetDomain?.length ?? 1) === 1 && fn.physfn === undefined
    );
    return apart ? [...addresses].filter((address) => !lane.includes(address)) : [];
  }

  /** One stuck device delays no other. */
  #checkOthers(what: Meanwhile, lane: string): void {
    if (what !== "removal of another" && what !== "shutdown") return;
    const besides = this.#besides(lane);
    for (const { plan, grant } of this.buffers.made) {
      if (!besides.includes(plan.device.address) || !this.audit.standing.includes(grant)) continue;
      this.violated(
        `${what}: a grant is ${this.audit.stateOf(grant)} while another device is stuck`,
      );
    }
  }

  /** All or nothing: what could not be opened as a whole has been given to nobody. */
  #checkNothingLeft(): void {
    const { events } = this.scene;
    if (events.some(({ type }) => type === "delivered")) {
      this.violated("the open failed, and something was delivered");
    }
  }

  #checkEnd(): void {
    for (const look of this.#atEnd) look();
    const troubleTold = this.#result === undefined || (this.#result.trouble && this.isLate);
    this.audit.checkEnd(troubleTold);
    this.deliveries.checkPossession();
    if (this.isLate && this.#result?.trouble === false) this.violated("late, and no trouble");
    // What is borrowed ends with its importer's help, and these importers do not help.
    const cooperative = this.scene.plan.grants.some(({ device }) => device.owner !== undefined);
    if (this.isLate && !this.isDisturbed && !cooperative) this.violated("late without a fault");
    const { table } = this.scene.kernel;
    // The connection to an owner says that its copy is closed: where that failed, it stays.
    const stays = this.lends && !this.scene.events.some(({ type }) => type === "exported");
    const left = table.open().filter(({ number, kind }) =>
      !this.#isOthers(number) && !(stays && kind === "socket")
    );
    if (left.length > 0) this.violated(`left open: ${left.map(({ kind }) => kind).join(", ")}`);
    if (this.#devices.some(({ isOpen }) => isOpen)) this.violated("the device is open");
    if (this.#unbinds.some(({ over }) => !over)) this.violated("the unbind waits still");
    if (this.buffers.all.some(isReachable)) {
      this.violated("a buffer can be imported after the end of all");
    }
  }
}

function isReachable({ revoked, references }: SimDmaBuf): boolean {
  return !revoked && references > 0;
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
