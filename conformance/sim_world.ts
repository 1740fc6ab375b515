/**
 * The simulated side: a machine with the laboratory's devices.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { Kernel, Lane, RevokeTrace } from "../engine/kernel.ts";
import { SIM_IMPORTERS, SimImporter, type SimImporterDriver } from "../sim/importer.ts";
import { SimKernel } from "../sim/sim_kernel.ts";
import { SimDeviceFile, SimDmaBuf, type SimFunction } from "../sim/vfio.ts";
import type { Device, Outside, Role, World } from "./world.ts";

const BUS_MASTER = 4;
const COMMAND = 4;
const CMB_BYTES = 0x100_0000n;
/** Of the persistent memory region. */
const PMR_BYTES = 0x10_0000n;

/** Config space as an NVMe controller has it: MSI-X, power management and PCI Express. */
function expressConfig(): Uint8Array {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  config[0x34] = 0x40;
  config.set([0x11, 0x80, 0x40, 0x00], 0x40); // MSI-X: 65 vectors
  view.setUint32(0x44, 0x2000, true); // table in BAR 0
  view.setUint32(0x48, 0x3000, true); // pending bits
  config.set([0x10, 0x60], 0x80);
  view.setUint32(0x84, 1 << 28, true); // function level reset
  config.set([0x01, 0x00, 0x03, 0x00], 0x60);
  return config;
}

function conventionalConfig(id: number): Uint8Array {
  const config = new Uint8Array(256);
  new DataView(config.buffer).setUint32(0, id, true);
  return config;
}

/** What every function of this machine says of itself unless it says otherwise. */
function fn(bus: number, group: number, more: Partial<SimFunction>): SimFunction {
  const address = `0000:${bus.toString(16).padStart(2, "0")}:00.0`;
  return {
    address,
    node: `/dev/vfio/devices/vfio${group}`,
    config: expressConfig(),
    bars: new Map([[0, 0x4000n], [2, CMB_BYTES]]),
    resettable: true,
    virtual: false,
    group,
    hotResetDomain: [more.address ?? address],
    ...more,
  };
}

const PAIR = ["0000:05:00.0", "0000:05:00.1"] as const;

/** On the root bus: no reset of slot or bus. */
function onRootBus(group: number, more: Partial<SimFunction>): SimFunction {
  const { hotResetDomain: _, ...rest } = fn(0, group, { resettable: false, ...more });
  return rest;
}

/** The devices by role, as the laboratory has them. */
const FUNCTIONS: Readonly<Record<Role, SimFunction>> = {
  memory: fn(1, 1, {}),
  memory2: fn(2, 2, { bars: new Map([[0, 0x4000n], [2, CMB_BYTES], [4, PMR_BYTES]]) }),
  engine: onRootBus(3, {
    address: "0000:00:14.0",
    config: conventionalConfig(0x11e8_1234),
    bars: new Map([[0, 0x10_0000n]]),
  }),
  plain: onRootBus(4, {
    address: "0000:00:15.0",
    config: conventionalConfig(0x1110_1af4),
    bars: new Map([[0, 256n], [2, 0x10_0000n]]),
  }),
  ports: onRootBus(5, {
    address: "0000:00:1f.2",
    config: conventionalConfig(0x2922_8086),
    bars: new Map([[5, 0x1000n]]),
    ports: new Map([[4, 0x20n]]),
  }),
  virtual: fn(4, 6, { address: "0000:04:00.1", virtual: true, bars: new Map([[0, 0x4000n]]) }),
  pair0: fn(5, 7, { address: PAIR[0], hotResetDomain: PAIR }),
  pair1: fn(5, 7, { address: PAIR[1], hotResetDomain: PAIR, node: "/dev/vfio/devices/vfio8" }),
};

/** All devices of the machine. */
export const MACHINE: readonly SimFunction[] = Object.values(FUNCTIONS);

function isDriver(name: string): name is SimImporterDriver {
  return Object.hasOwn(SIM_IMPORTERS, name);
}

/** Either simulation. */
type Simulation = Kernel & Pick<SimKernel, "functionAt" | "unbind" | "bind" | "file">;

/** A fresh machine. */
export class SimWorld implements World {
  readonly side = "sim";
  readonly lane: Lane;
  /** Descriptors that belong to the world. */
  readonly own: number;
  readonly #trace: RevokeTrace;
  readonly #beside = new Map<string, Lane>();

  /** @param kernel of this machine */
  constructor(
    readonly kernel: Simulation = new SimKernel({ functions: MACHINE, recordsMoves: true }),
  ) {
    this.lane = kernel.openLane("conformance");
    this.#trace = kernel.openRevokeTrace();
    this.own = kernel.ownDescriptors().length;
  }

  /** Gives back what belongs to the world. */
  close(): void {
    this.#trace.close();
  }

  device(role: Role): Promise<Device> {
    const { address, node, group, virtual } = FUNCTIONS[role];
    return Promise.resolve({ address, node, group: `/dev/vfio/${group}`, bar: virtual ? 0 : 2 });
  }

  readonly outside: Outside = {
    reset: (address) => {
      this.kernel.functionAt(address).resetOutside();
      return Promise.resolve();
    },
    resetBelowBridge: () => Promise.resolve(),
    writeConfig: (address, offset, bytes) => {
      if (offset === COMMAND) {
        this.kernel.functionAt(address).writeCommandOutside((bytes[0] ?? 0) | (bytes[1] ?? 0) << 8);
      }
      return Promise.resolve();
    },
    unbind: (address) => Promise.resolve({ over: this.kernel.unbind(address) }),
    bind: (address) => {
      this.kernel.bind(address);
      return Promise.resolve();
    },
  };

  lands(engine: Fd, iova: bigint): Promise<boolean> {
    const { device } = this.kernel.file(engine, SimDeviceFile);
    const command = device.readConfig(BigInt(COMMAND), 2)[0] ?? 0;
    const master = (command & BUS_MASTER) !== 0;
    return Promise.resolve(master && device.space?.lands(iova) === true);
  }

  moves(address: string): readonly boolean[] {
    return this.#trace.read().flatMap((record) =>
      record !== "overrun" && record.device === address ? [record.revoked] : []
    );
  }

  hold(buffer: Fd): Promise<() => void> {
    return Promise.resolve(this.kernel.file(buffer, SimDmaBuf).hold());
  }

  importBy(driver: string, buffer: Fd, reachable?: boolean): SimImporter {
    if (!isDriver(driver)) throw new RangeError(`no simulated host has ${driver}`);
    return new SimImporter(driver, this.kernel.file(buffer, SimDmaBuf), reachable);
  }

  beside(which: "working" | "waiting"): Lane {
    const known = this.#beside.get(which) ?? this.kernel.openLane(`conformance, ${which}`);
    this.#beside.set(which, known);
    return known;
  }

  raw(row: string): Promise<string> {
    throw new RangeError(`Cannot make the raw call ${row}: the simulation has only the port`);
  }
}
