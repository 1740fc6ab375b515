/**
 * Holding a device: all its buffers are revoked without its being closed, and stay so until the hold
 * is given up. Of the ways to do that only one outlives a reset.
 *
 * @module
 */
import { PCI_COMMAND, PCI_COMMAND_MEMORY, powerRegister } from "../host/config_space.ts";
import { RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { explained } from "./refusal.ts";

/**
 * A way to hold. `memory-decode`: the memory bit off, which a virtual function does not have; `d3hot`:
 * the power state, where there is power management; `low-power`: VFIO's low-power entry, which shows
 * in no register.
 */
export type HoldKind = "memory-decode" | "d3hot" | "low-power";

/** What a hold must outlive: nothing in particular, or a reset, which brings D0 and ends low power. */
export type HoldSpan = "now" | "reset";

/** Kinds as people call them. */
export const HOLD_NAMES: Readonly<Record<HoldKind, string>> = {
  "memory-decode": "memory decode off",
  d3hot: "D3hot",
  "low-power": "low power",
};

const OUTLIVES_RESET: ReadonlySet<HoldKind> = new Set<HoldKind>(["memory-decode"]);
/** Region index of PCI configuration space (`VFIO_PCI_CONFIG_REGION_INDEX`). */
const CONFIG_REGION = 7;
/** As much of configuration space as holds the list of capabilities. */
const CONFIG_BYTES = 256;
/** PCI_PM_CTRL_STATE_MASK. */
const POWER_STATE = 0x3;
const D0 = 0;
const D3HOT = 3;

/**
 * The ways that can be tried on a device of Bargate's own, in order.
 *
 * @param config configuration space, with its capabilities
 * @param virtual whether it is a virtual function
 */
export function holdKinds(config: Uint8Array, virtual: boolean): readonly HoldKind[] {
  return [
    ...(virtual ? [] : ["memory-decode" as const]),
    ...(powerRegister(config) === undefined ? [] : ["d3hot" as const]),
    "low-power",
  ];
}

/**
 * Those that serve.
 *
 * @param kinds of the device
 * @param span what the hold must outlive
 */
export function holdsOver(kinds: readonly HoldKind[], span: HoldSpan): readonly HoldKind[] {
  return kinds.filter((kind) => span === "now" || OUTLIVES_RESET.has(kind));
}

/** The registers and calls behind the holds of one device. */
export class DeviceHold {
  /**
   * @param lane of the device
   * @param address of the device, for messages
   */
  constructor(private readonly lane: Lane, private readonly address: string) {}

  /**
   * Begins a hold. What has a register is read back.
   *
   * @returns whether the register says so; undefined where there is none to say
   * @throws {RefusedError} if the kernel refuses
   */
  async engage(device: Fd, kind: HoldKind): Promise<boolean | undefined> {
    if (kind === "memory-decode") return !await this.#setMemoryBit(device, false);
    if (kind === "d3hot") return await this.#setPowerState(device, D3HOT) === D3HOT;
    await explained(`put ${this.address} into low power`, () => this.lane.enterLowPower(device));
    return undefined;
  }

  /**
   * Gives a hold up: buffers of this generation can be imported again.
   *
   * @throws {RefusedError} if the kernel refuses, or the register says otherwise
   */
  async release(device: Fd, kind: HoldKind): Promise<void> {
    if (kind === "memory-decode" && !await this.#setMemoryBit(device, true)) {
      throw this.#stays("its command register does not keep the memory bit");
    }
    if (kind === "d3hot" && await this.#setPowerState(device, D0) !== D0) {
      throw this.#stays("its power state does not become D0");
    }
    if (kind === "low-power") await this.#wake(device);
  }

  async #wake(device: Fd): Promise<void> {
    try {
      await this.lane.exitLowPower(device);
    } catch (error) {
      // A kernel that does not know the way out does not know the way in, and nothing is held by it.
      if (error instanceof KernelError && error.errnoName === "ENOTTY") return;
      await explained(`wake ${this.address}`, () => Promise.reject(error));
    }
  }

  /**
   * Whether the memory bit of the command register is on. It says nothing of a virtual function.
   *
   * @throws {RefusedError} if the register cannot be read
   */
  async memoryBit(device: Fd): Promise<boolean> {
    return (await this.#command(device) & PCI_COMMAND_MEMORY) !== 0;
  }

  async #setMemoryBit(device: Fd, on: boolean): Promise<boolean> {
    const before = await this.#command(device);
    const wanted = on ? before | PCI_COMMAND_MEMORY : before & ~PCI_COMMAND_MEMORY;
    const what = `switch memory decode of ${this.address} ${on ? "on" : "off"}`;
    await this.#write(device, what, PCI_COMMAND, wanted);
    return await this.memoryBit(device);
  }

  async #setPowerState(device: Fd, state: number): Promise<number> {
    const config = await explained(
      `read the capabilities of ${this.address}`,
      () => this.lane.readRegion(device, CONFIG_REGION, 0n, CONFIG_BYTES),
    );
    const register = powerRegister(config);
    if (register === undefined) throw this.#stays("it has no power management");
    const before = word(config, register);
    const what = `change the power state of ${this.address}`;
    await this.#write(device, what, register, (before & ~POWER_STATE) | state);
    return await this.#read(device, "power state", register) & POWER_STATE;
  }

  #command(device: Fd): Promise<number> {
    return this.#read(device, "command register", PCI_COMMAND);
  }

  async #read(device: Fd, what: string, at: number): Promise<number> {
    const bytes = await explained(
      `read the ${what} of ${this.address}`,
      () => this.lane.readRegion(device, CONFIG_REGION, BigInt(at), 2),
    );
    return word(bytes, 0);
  }

  async #write(device: Fd, what: string, at: number, value: number): Promise<void> {
    const bytes = new Uint8Array([value & 0xff, value >> 8]);
    await explained(
      what,
      () => this.lane.writeRegion(device, CONFIG_REGION, BigInt(at), bytes),
    );
  }

  #stays(why: string): RefusedError {
    return new RefusedError(`Cannot change what holds ${this.address}: ${why}`);
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
}
