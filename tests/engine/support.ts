/** A simulated host, a policy and a clock for the engine's tests. @module */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { Clock } from "../../engine/clock.ts";
import { type Event, EventLog } from "../../engine/event.ts";
import { Guardian } from "../../engine/guardian.ts";
import type { GuardianContext } from "../../engine/guardian_context.ts";
import type { ObserverChoice } from "../../engine/observation_post.ts";
import type { FileEventKind } from "../../engine/kernel.ts";
import { StartedProgram } from "../../engine/started_program.ts";
import { exportName } from "../../engine/export_name.ts";
import type { HoldKind } from "../../engine/device_hold.ts";
import type { Plan, PlannedGrant } from "../../engine/plan.ts";
import type { PlannedMemory } from "../../engine/planned_memory.ts";
import type { ResetOutcome } from "../../engine/reset_outcome.ts";
import type { ExportRule, ImporterRule, OwnerIdentity } from "../../policy/model.ts";
import { MemoryFiles } from "../support/memory_files.ts";
import type { Span } from "../../policy/position.ts";
import { type SimChild, SimKernel } from "../../sim/sim_kernel.ts";
import { SimIommufd } from "../../sim/iommufd.ts";
import { SimDmaBuf, type SimFunction } from "../../sim/vfio.ts";

export const AT: Span = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
export const SSD = "0000:01:00.0";
/** A bridge above every device. */
export const BRIDGE = "0000:00:1e.0";

/** A clock that moves only when it is told to. */
export class ManualClock implements Clock {
  #now = 0;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((other) => other !== timer);
  }

  /** Lets so much time go by, timer after timer, with all that follows from each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** Lets everything run that waits for nothing but its turn, however much that is. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export function simFunction(address: string, more: Partial<SimFunction> = {}): SimFunction {
  const config = new Uint8Array(256);
  new DataView(config.buffer).setUint32(0, 0x0010_1b36, true);
  return {
    address,
    node: `/dev/vfio/devices/${address}`,
    config,
    bars: new Map([[0, 0x4000n], [2, 0x100_0000n]]),
    resettable: true,
    virtual: false,
    ...more,
  };
}

export interface GrantSpec {
  readonly name?: string;
  /** Its device is one of many, and so the grant's name has the address. */
  readonly many?: true;
  /** Serial number that the plan has seen. */
  readonly serial?: string;
  readonly address?: string;
  readonly mapping?: "bargate" | "importer";
  readonly onReset?: "revoke" | "restore";
  readonly expiresMs?: number;
  readonly graceMs?: number;
  readonly virtual?: boolean;
  readonly holds?: readonly HoldKind[];
  /** Address of its physical function. */
  readonly physfn?: string;
  /** The device is borrowed from this one. */
  readonly owner?: OwnerIdentity;
  /** It is of the controller's memory buffer, which the plan has there. */
  readonly memory?: PlannedMemory;
  /** It is of BAR 0 all the same, and so not of the buffer. */
  readonly doorbells?: true;
  readonly access?: ExportRule["access"];
}

export function planned(spec: GrantSpec = {}): PlannedGrant {
  const { name = "data", address = SSD, mapping = "importer" } = spec;
  const importer: ImporterRule = {
    name: "engine",
    identity: { user: { value: "nobody", at: AT } },
    driver: { value: "iommufd", at: AT },
    mapping,
    at: AT,
  };
  const bar = spec.doorbells ? 0 : 2;
  const rule: ExportRule = {
    name,
    qualifiedName: `demo/${name}`,
    device: { value: "ssd", at: AT },
    bar: { value: bar, at: AT },
    slices: [{ offset: 0x1000n, length: 0x2000n, at: AT }],
    importers: [{ value: "engine", at: AT }],
    access: spec.access ?? "read-write",
    onReset: spec.onReset ?? "revoke",
    graceMs: spec.graceMs ?? 2000,
    ...(spec.expiresMs === undefined ? {} : { expiresMs: spec.expiresMs }),
    collateral: "device",
    allowProtected: [],
    ...(spec.memory === undefined || spec.doorbells
      ? {}
      : { region: { value: "nvme.cmb", at: AT } }),
    at: AT,
  };
  return {
    export: exportName(rule, spec, { address }),
    rule,
    importer,
    importerName: "demo/engine",
    device: {
      address,
      above: [`0000:00:${address.slice(5, 7)}.0`, BRIDGE],
      slots: [],
      ...(spec.physfn === undefined ? {} : { physfn: spec.physfn }),
      id: "1b36:0010",
      subsystem: "0000:0000",
      class: "000000",
      ...(spec.serial === undefined ? {} : { serial: spec.serial }),
      protectedRanges: [],
      route: "cdev",
      node: `/dev/vfio/devices/${address}`,
      barSizes: new Map([[0, 0x4000n], [2, 0x100_0000n]]),
      holds: spec.owner !== undefined ? [] : spec.holds ??
        (spec.virtual === true ? ["low-power"] : ["memory-decode", "low-power"]),
      ...(spec.owner === undefined ? {} : { owner: spec.owner }),
      ...(spec.memory === undefined ? {} : { controllerMemory: spec.memory }),
    },
    iommuGroup: Number.parseInt(address.slice(5, 7), 16),
    bar,
    ranges: [{ offset: 0x1000n, length: 0x2000n }],
    revocation: ["release", "close"],
  };
}

function byGroup(grant: PlannedGrant): PlannedGrant {
  const { device, iommuGroup } = grant;
  return { ...grant, device: { ...device, route: "group", node: `/dev/vfio/${iommuGroup}` } };
}

/** A guardian over a simulated host, with a child that the test plays. */
export class Scene {
  readonly events: Event[] = [];
  readonly clock = new ManualClock();
  readonly files = new MemoryFiles({});
  readonly kernel: SimKernel;
  readonly guardian: Guardian;
  readonly plan: Plan;
  #run: ReturnType<Guardian["run"]> | undefined;

  constructor(
    specs: readonly GrantSpec[],
    functions?: readonly SimFunction[],
    observe: ObserverChoice = {},
    route: "cdev" | "group" = "cdev",
    more: Partial<GuardianContext> | ((kernel: SimKernel) => Partial<GuardianContext>) = {},
  ) {
    const groupOf = new Map(functions?.map(({ address, group }) => [address, group]));
    const grants = specs.map(planned).map((grant) => {
      const iommuGroup = groupOf.get(grant.device.address) ?? grant.iommuGroup;
      return route === "cdev" ? { ...grant, iommuGroup } : byGroup({ ...grant, iommuGroup });
    });
    const addresses = new Map(specs.map((spec) => [spec.address ?? SSD, spec.virtual ?? false]));
    this.kernel = new SimKernel({
      functions: functions ??
        [...addresses].map(([address, virtual]) => simFunction(address, { virtual })),
      accounts: [{ uid: 65534, gid: 65534, name: "nobody" }],
    });
    const plan: Plan = this.plan = {
      host: { release: "7.3.0-sim", pageSize: 4096 },
      policy: "sha256:test",
      grants,
      domains: new Map(),
      diagnostics: [],
      denied: false,
    };
    this.guardian = new Guardian(plan, {
      kernel: this.kernel,
      clock: this.clock,
      log: new EventLog(plan.policy, () => this.clock.now(), (event) => this.events.push(event)),
      limitMs: 1000,
      files: this.files,
      observe,
      ...(typeof more === "function" ? more(this.kernel) : more),
    });
  }

  /** Somebody does something to a file of sysfs, below the folder of a function. */
  async touch(
    file: string,
    kind: FileEventKind = "modify",
    address: string = SSD,
  ): Promise<void> {
    this.kernel.fileWatches.tell(`/sys/bus/pci/devices/${address}/${file}`, kind);
    await settle();
  }

  /** Opens, starts the child and waits until it has been welcomed. */
  async start(): Promise<SimChild> {
    await this.guardian.open();
    this.#run = this.guardian.run(
      new StartedProgram("engine", {
        recipient: {
          account: { uid: 65534, gid: 65534, name: "nobody" },
          executable: "/usr/bin/importer",
        },
        argv: ["importer"],
        env: {},
        stdoutToStderr: false,
      }),
    );
    // A test awaits it in `finish`; until then a failure must not count as unhandled.
    void Promise.allSettled([this.#run]);
    await settle();
    return this.child;
  }

  get child(): SimChild {
    const child = this.kernel.children[0];
    if (child === undefined) throw new RangeError("no child was started");
    return child;
  }

  /** Ends the child and waits for the run's end. */
  async finish(): ReturnType<Guardian["run"]> {
    const child = this.kernel.children[0];
    if (child !== undefined && child.end === undefined) this.kernel.exit(child);
    await this.clock.advance(10_000);
    if (this.#run === undefined) throw new RangeError("nothing was started");
    return await this.#run;
  }

  /** The buffer behind one of the child's descriptors. */
  buffer(name = "data"): SimDmaBuf {
    const file = this.kernel.table.get(this.child.fds.get(name) ?? -1);
    if (!(file instanceof SimDmaBuf)) throw new RangeError(`the child has no buffer ${name}`);
    return file;
  }

  /** The child maps its buffer, in an iommufd of its own. */
  importBuffer(name = "data"): { iommufd: SimIommufd; ioas: number; iova: bigint } {
    const iommufd = new SimIommufd();
    const number = this.kernel.table.install(iommufd);
    (this.child.fds as Map<string, number>).set(`iommufd ${number}`, number);
    const ioas = iommufd.allocate();
    const buffer = this.buffer(name);
    return { iommufd, ioas, iova: iommufd.map(ioas, buffer, buffer.size, undefined) };
  }

  /** An iommufd with an address space, not yet anybody's. */
  kernelIommufd(): { iommufd: SimIommufd; ioas: number } {
    const iommufd = new SimIommufd();
    return { iommufd, ioas: iommufd.allocate() };
  }

  /** The child sends a packet on its channel. */
  async send(packet: unknown, fds: readonly number[] = [], pid = this.child.pid): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(packet));
    const sender = { pid, uid: 65534, gid: 65534 };
    this.kernel.sendAs(sender, this.child.fds.get("bargate") ?? -1, bytes, fds);
    await settle();
  }

  /** Packets that wait for the child, taken. */
  packets(): Record<string, unknown>[] {
    return this.#take().map(({ packet }) => packet);
  }

  /** Packets with the files that came with them. */
  packetsWithFiles(): { packet: Record<string, unknown>; files: readonly unknown[] }[] {
    return this.#take();
  }

  #take() {
    const socket = this.kernel.table.get(this.child.fds.get("bargate") ?? -1) as unknown as {
      queue: { bytes: Uint8Array; files: readonly unknown[] }[];
    };
    return socket.queue.splice(0).map(({ bytes, files }) => ({
      packet: JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>,
      files,
    }));
  }

  /** Types of the events so far, with reason and means. */
  story(): string[] {
    return this.events.map(({ type, reason, means }) =>
      [type, reason, means].filter((word) => word !== undefined).join(" ")
    );
  }

  /** Bargate's descriptors that are open. */
  get ownFds(): number {
    const childs = new Set(this.kernel.children.flatMap(({ fds }) => [...fds.values()]));
    return this.kernel.table.open().filter(({ number }) => !childs.has(number)).length;
  }
}

/** Without the lists. */
export function countsOf(outcome: ResetOutcome | undefined) {
  assert.ok(outcome !== undefined);
  const { ended, failed, restored } = outcome;
  return { ended, failed, restored };
}

/** Every grant has one start and one end, and nothing of Bargate is left open. */
export function assertAllOver(scene: Scene): void {
  const started = scene.events.filter(({ type }) => type === "planned").map(({ grant }) => grant);
  const ended = scene.events.filter(({ type }) => type === "ended").map(({ grant }) => grant);
  assert.deepEqual(ended.toSorted(), started.toSorted());
  assert.equal(scene.ownFds, 0);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
}

/** An iommufd of the child, as a descriptor. */
export function importerIommufd(scene: Scene) {
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  (scene.child.fds as Map<string, number>).set(`iommufd ${number}`, number);
  return { iommufd, ioas, number };
}
