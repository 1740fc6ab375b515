/** The real kernel's side of the conformance suite. @module */
import type { Device, Outside, Role, World } from "../../conformance/world.ts";
import type { Fd } from "../../engine/fd.ts";
import type { Lane, RevokeTrace } from "../../engine/kernel.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import type { LabDevice } from "../machine/topology.ts";
import { join } from "../path.ts";
import type { GuestContext } from "./case.ts";
import { holdBuffer } from "./held_buffer.ts";
import { bind, boundDriver, vfioNode } from "./setup.ts";
import { until } from "./until.ts";
import { makeVfs, preparePf } from "./virtual_functions.ts";

const PCI = "/sys/bus/pci";
/** The chipset's disk controller, which no case boots from: I/O ports in BAR 4. */
const PORTS = "0000:00:1f.2";
const WAIT_MS = 20_000;

/** `edu`'s registers for DMA, its buffer, and the bits of the command. */
const EDU = { source: 0x80n, destination: 0x88n, count: 0x90n, command: 0x98n } as const;
const EDU_BUFFER = 0x4_0000n;
const START = 1;
const FROM_DEVICE = 2;
const DMA_BYTES = 16;

/** Which device of the laboratory plays which role, and its BAR with memory. */
const PLAYERS: Readonly<Record<Role, readonly [name: string, bar: number]>> = {
  memory: ["nvme", 2],
  memory2: ["nvme2", 2],
  plain: ["ivshmem", 2],
  engine: ["edu", 0],
  ports: ["ports", 5],
  virtual: ["virtual", 0],
  pair0: ["dual0", 2],
  pair1: ["dual1", 2],
};

/** The kernel of the guest. All cases share it: a lane and a probe cost more than a case. */
export class KernelWorld implements World {
  readonly side = "kernel";
  readonly kernel = new LinuxKernel();
  readonly lane: Lane;
  readonly #trace: RevokeTrace;
  #context: GuestContext | undefined;
  #virtual: string | undefined;
  readonly #beside = new Map<string, Lane>();

  /** @param lane what calls are made on; absent: one of its own */
  constructor(lane?: Lane) {
    this.lane = lane ?? this.kernel.openLane("conformance");
    this.#trace = this.kernel.openRevokeTrace();
  }

  /** @param context of the case that runs from now on */
  enter(context: GuestContext): this {
    this.#context = context;
    this.#virtual = undefined;
    return this;
  }

  /** Ends the lane, and removes the probe. */
  async close(): Promise<void> {
    this.#trace.close();
    await this.lane.end();
    for (const lane of this.#beside.values()) await lane.end();
  }

  get #guest(): GuestContext {
    if (this.#context === undefined) throw new RangeError("no case is being run");
    return this.#context;
  }

  async device(role: Role): Promise<Device | undefined> {
    const [name, bar] = PLAYERS[role];
    const address = await this.#address(name);
    if (address === undefined) return undefined;
    const link = await Deno.readLink(`${PCI}/devices/${address}/iommu_group`);
    const group = `/dev/vfio/${link.split("/").at(-1)}`;
    return { address, node: await vfioNode(address), group, bar };
  }

  async #address(name: string): Promise<string | undefined> {
    if (name === "ports") return await this.#bindPorts();
    if (name === "virtual") return await this.#virtualFunction();
    return this.#player(name)?.address;
  }

  /** Made when a case asks for it the first time; goes when the case has ended. */
  async #virtualFunction(): Promise<string | undefined> {
    if (this.#virtual !== undefined) return this.#virtual;
    await preparePf(this.#guest, "nvme");
    [this.#virtual] = await makeVfs(this.#guest, 1);
    return this.#virtual;
  }

  #player(name: string): LabDevice | undefined {
    return Object.values(this.#guest.devices).find(({ role }) => role === name);
  }

  /** Bound when a case asks for it; nobody's again when the case has ended. */
  async #bindPorts(): Promise<string> {
    if (await boundDriver(PORTS) !== "vfio-pci") {
      await Deno.writeTextFile(`${PCI}/devices/${PORTS}/driver_override`, "vfio-pci");
      await Deno.writeTextFile(`${PCI}/drivers_probe`, PORTS);
      this.#guest.defer(async () => {
        await this.outside.unbind(PORTS).then(({ over }) => over);
        await Deno.writeTextFile(`${PCI}/devices/${PORTS}/driver_override`, "\n");
      });
    }
    return PORTS;
  }

  readonly outside: Outside = {
    reset: (address) => Deno.writeTextFile(`${PCI}/devices/${address}/reset`, "1"),
    resetBelowBridge: async (address) => {
      const path = await Deno.realPath(`${PCI}/devices/${address}`);
      await Deno.writeTextFile(join(path, "../reset_subordinate"), "1");
    },
    writeConfig: async (address, offset, bytes) => {
      using file = await Deno.open(`${PCI}/devices/${address}/config`, { write: true });
      await file.seek(offset, Deno.SeekMode.Start);
      await file.write(bytes);
    },
    unbind: (address) => {
      const path = `${PCI}/devices/${address}/driver/unbind`;
      const running = this.#guest.start(["sh", "-c", 'echo "$1" >"$2"', "sh", address, path]);
      return Promise.resolve({ over: ended(running.exited(WAIT_MS)) });
    },
    bind: async (address) => {
      const device = Object.values(this.#guest.devices).find((each) => each.address === address);
      if (device === undefined) throw new RangeError(`Cannot bind ${address}: not of the topology`);
      await bind(device);
    },
  };

  async lands(engine: Fd, iova: bigint, into: Device, offset: number): Promise<boolean> {
    const guest = this.#guest;
    const before = crypto.getRandomValues(new Uint8Array(DMA_BYTES)).map((byte) => byte | 1);
    await guest.writeBar(into.address, into.bar, offset, before);
    const memory = () => guest.readBar(into.address, into.bar, offset, DMA_BYTES);
    // What the processor does not reach while memory decode is off, the engine does not either.
    if (!equal(await memory(), before)) return false;
    const write = (register: bigint, value: bigint) =>
      this.lane.writeRegion(
        engine,
        0,
        register,
        new Uint8Array(new BigUint64Array([value]).buffer),
      );
    await write(EDU.source, EDU_BUFFER);
    await write(EDU.destination, iova);
    await write(EDU.count, BigInt(DMA_BYTES));
    await write(EDU.command, BigInt(START | FROM_DEVICE));
    await until("the engine to be done", WAIT_MS, async () => {
      const [command = START] = await this.lane.readRegion(engine, 0, EDU.command, 8);
      return (command & START) === 0 || undefined;
    });
    return !equal(await memory(), before);
  }

  moves(address: string): readonly boolean[] {
    const moves: boolean[] = [];
    for (let records = this.#trace.read(); records.length > 0; records = this.#trace.read()) {
      for (const record of records) {
        if (record === "overrun") throw new RangeError("records of the revoke routine are lost");
        if (record.device === address) moves.push(record.revoked);
      }
    }
    return moves;
  }

  hold(buffer: Fd): Promise<() => void> {
    return holdBuffer(this.kernel, this.beside("working"), buffer);
  }

  importBy(driver: string): never {
    throw new RangeError(`the laboratory has no ${driver}`);
  }

  beside(which: "working" | "waiting"): Lane {
    const known = this.#beside.get(which) ??
      this.kernel.openLane(`conformance, ${which}`, "shared");
    this.#beside.set(which, known);
    return known;
  }

  async raw(row: string): Promise<string> {
    const guest = this.#guest;
    const node = await guest.vfioNode(guest.devices.nvme.address);
    const ran = await guest.run([guest.program("raw"), node, row]);
    if (ran.status !== 0) throw new Error(`Cannot make the raw call ${row}: ${ran.stderr}`);
    return ran.stdout.trim();
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

async function ended(exited: Promise<unknown>): Promise<void> {
  await exited;
}
