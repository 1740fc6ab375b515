/**
 * VFIO devices and their dma-bufs, by the rules of drivers/vfio/pci (Linux 7.3): what revokes, what
 * validates again, and that the last close is for good.
 *
 * @module
 */
import type { DmaRange } from "../engine/kernel.ts";
import { refusal, type SimErrno } from "./errno.ts";
import type { SimFile } from "./file_table.ts";

const PCI_COMMAND = 4;
const PCI_COMMAND_MEMORY = 0x2;
const CAPABILITIES = 0x34;
const POWER_MANAGEMENT = 1;
/** From the capability's start. */
const PMCSR = 4;
const D3HOT = 3;
const CONFIG_REGION = 7;
const BARS = 6;

/** A PCI function of the simulated host, bound to vfio-pci. */
export interface SimFunction {
  readonly address: string;
  readonly node: string;
  /** 256 bytes at least. */
  readonly config: Uint8Array;
  /** Memory BARs by index, bytes. */
  readonly bars: ReadonlyMap<number, bigint>;
  readonly resettable: boolean;
  /** A virtual function has no memory bit of its own. */
  readonly virtual: boolean;
  /** IOMMU group; absent: one of its own, with no node. */
  readonly group?: number;
  /** Addresses of what a hot reset hits, itself included; absent: there is no slot or bus reset. */
  readonly hotResetDomain?: readonly string[];
  /** A physical function: it has a token, which those who open its virtual functions must give. */
  readonly sriov?: boolean;
  /** Of a virtual function: its physical function, which counts if it is a device of this host too. */
  readonly physfn?: string;
}

/** The token of a physical function: a random one, until somebody opens the function with one. */
class SimVfToken {
  value: string = crypto.randomUUID();
  /** Virtual functions that are open: the token stays while there are any. */
  users = 0;

  refusal(given: string | undefined): SimErrno | undefined {
    return given?.toLowerCase() === this.value ? undefined : "EACCES";
  }
}

/** The driver's side of one function. */
export class SimVfioDevice {
  readonly #buffers = new Set<SimDmaBuf>();
  #opens = 0;
  #command = 0;
  #bound = false;
  #powerState = 0;
  #lowPower = false;
  /** The iommufd that owns its DMA, by the character-device route. */
  owner: SimFile | undefined;
  /** Its id within that. */
  deviceId: number | undefined;
  /** Eventfds armed on interrupts. */
  readonly interrupts = new Map<"error" | "request", SimEventFd>();
  readonly #token: SimVfToken | undefined;
  /** Virtual functions that it has. */
  #virtualFunctions = 0;

  /**
   * @param fn the function
   * @param physical its physical function, if it is a virtual one and that is bound to vfio-pci
   */
  constructor(readonly fn: SimFunction, private readonly physical?: SimVfioDevice) {
    this.#token = fn.sriov === true ? new SimVfToken() : undefined;
    if (physical !== undefined) physical.#virtualFunctions++;
  }

  /** Whether the driver answers memory accesses. */
  get enabled(): boolean {
    if (this.#powerState === D3HOT) return false;
    return this.fn.virtual || (this.#command & PCI_COMMAND_MEMORY) !== 0;
  }

  get isOpen(): boolean {
    return this.#opens > 0;
  }

  openFile(): SimDeviceFile {
    return new SimDeviceFile(this);
  }

  /** `VFIO_DEVICE_BIND_IOMMUFD`: opens the device, once. */
  bind(owner?: SimFile, vfToken?: string): void {
    const call = "VFIO_DEVICE_BIND_IOMMUFD";
    if (this.#bound) throw refusal(call, "EINVAL", this.fn.address);
    this.#checkToken(call, vfToken);
    this.#bound = true;
    this.owner = owner;
    this.#open();
  }

  /** `VFIO_GROUP_GET_DEVICE_FD`: opens the device, as often as one likes. */
  openByGroup(vfToken: string | undefined): void {
    this.#checkToken("VFIO_GROUP_GET_DEVICE_FD", vfToken);
    this.#open();
  }

  #open(): void {
    if (this.#opens++ === 0) this.physical?.lend(1);
    this.#command |= PCI_COMMAND_MEMORY;
    this.#powerState = 0;
  }

  /** A virtual function of it was opened (1) or closed (-1). */
  lend(users: 1 | -1): void {
    if (this.#token !== undefined) this.#token.users += users;
  }

  #checkToken(call: string, given: string | undefined): void {
    const errno = this.physical === undefined
      ? this.#ownTokenRefusal(given)
      : this.physical.#token?.refusal(given);
    if (errno !== undefined) throw refusal(call, errno, this.fn.address);
  }

  #ownTokenRefusal(given: string | undefined): SimErrno | undefined {
    if (this.#token === undefined) return given === undefined ? undefined : "EINVAL";
    if (this.#token.users > 0) return this.#token.refusal(given);
    if (given !== undefined) this.#token.value = given.toLowerCase();
    return undefined;
  }

  /** The last reference to a bound file has gone: everything exported is dead for good. */
  closed(): void {
    if (--this.#opens > 0) return;
    this.physical?.lend(-1);
    for (const buffer of this.#buffers) buffer.die();
    this.#buffers.clear();
    this.interrupts.clear();
    this.#bound = false;
    this.#lowPower = false;
    this.owner = undefined;
    this.deviceId = undefined;
  }

  export(region: number, ranges: readonly DmaRange[], page: bigint): SimDmaBuf {
    const call = "VFIO_DEVICE_FEATURE_DMA_BUF";
    const bar = region < BARS ? this.fn.bars.get(region) : undefined;
    if (ranges.length === 0) throw refusal(call, "EINVAL", this.fn.address);
    if (bar === undefined) throw refusal(call, "ENODEV", this.fn.address);
    for (const { offset, length } of ranges) {
      const fits = length > 0n && offset % page === 0n && length % page === 0n &&
        offset + length <= bar;
      if (!fits) throw refusal(call, "EINVAL", this.fn.address);
    }
    const buffer = new SimDmaBuf(ranges, !this.enabled, (gone) => this.#buffers.delete(gone));
    buffer.source = `BAR ${region} of ${this.fn.address}`;
    this.#buffers.add(buffer);
    return buffer;
  }

  /** `VFIO_DEVICE_RESET`: revokes, and validates again if memory decode is on. */
  reset(): void {
    if (!this.fn.resettable) throw refusal("VFIO_DEVICE_RESET", "EINVAL", this.fn.address);
    this.bounce();
  }

  /** What every reset does to the buffers; it also ends D3hot. */
  bounce(): void {
    this.#move(true);
    this.#powerState = 0;
    if (this.enabled) this.#move(false);
  }

  /** `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: revokes, also when it is refused. */
  enterLowPower(): void {
    this.#move(true);
    if (this.#lowPower) {
      throw refusal("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", "EINVAL", this.fn.address);
    }
    this.#lowPower = true;
  }

  /** `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`. */
  exitLowPower(): void {
    this.#lowPower = false;
    if (this.enabled) this.#move(false);
  }

  read(region: number, offset: bigint, length: number): Uint8Array {
    if (region !== CONFIG_REGION) return new Uint8Array(length);
    const config = new Uint8Array(this.fn.config);
    new DataView(config.buffer).setUint16(PCI_COMMAND, this.#command, true);
    const pmcsr = this.#pmcsr;
    if (pmcsr !== undefined) config[pmcsr] = this.#powerState;
    return config.slice(Number(offset), Number(offset) + length);
  }

  /** Where the power state is; absent: the function has no power management. */
  get #pmcsr(): number | undefined {
    const { config } = this.fn;
    const seen = new Set<number>();
    for (let at = config[CAPABILITIES] ?? 0; at !== 0 && !seen.has(at);) {
      if (config[at] === POWER_MANAGEMENT) return at + PMCSR;
      seen.add(at);
      at = config[at + 1] ?? 0;
    }
    return undefined;
  }

  /** Somebody writes the command register past VFIO: no buffer is revoked by that. */
  writeCommandOutside(command: number): void {
    this.#command = command;
  }

  /** Only the command register and the power state do anything. */
  write(region: number, offset: bigint, bytes: Uint8Array): void {
    if (region !== CONFIG_REGION) return;
    if (offset === BigInt(PCI_COMMAND)) this.#writeCommand(bytes);
    else if (Number(offset) === this.#pmcsr) this.#writePowerState((bytes[0] ?? 0) & D3HOT);
  }

  /** D3hot revokes first, and is then refused while there are virtual functions. */
  #writePowerState(state: number): void {
    if (state === D3HOT) this.#move(true);
    if (this.#virtualFunctions === 0) this.#powerState = state;
    if (this.enabled) this.#move(false);
  }

  #writeCommand(bytes: Uint8Array): void {
    this.#command = (bytes[0] ?? 0) | (bytes[1] ?? 0) << 8;
    const on = (this.#command & PCI_COMMAND_MEMORY) !== 0;
    if (!on) this.#move(true);
    if (this.enabled) this.#move(false);
  }

  #move(revoked: boolean): void {
    for (const buffer of this.#buffers) buffer.move(revoked);
  }
}

/** An open device. By the character-device route every operation but the bind needs the bind. */
export class SimDeviceFile implements SimFile {
  readonly kind = "vfio-device";
  references = 0;
  bound = false;
  constructor(
    readonly device: SimVfioDevice,
    private readonly onRelease: () => void = () => {},
  ) {}
  release(): void {
    if (this.bound) this.device.closed();
    this.onRelease();
  }
}

/** A dma-buf. */
export class SimDmaBuf implements SimFile {
  readonly kind = "dma-buf";
  references = 0;
  name: string | undefined;
  /** Told whenever it was revoked or validated, and when it is dead for good. */
  onMove: () => void = () => {};
  /** For people: whose memory it is. */
  source = "BAR";
  readonly size: bigint;
  readonly inode: bigint;
  #revoked: boolean;
  #dead = false;
  readonly #areas = new Set<SimArea>();
  static #inodes = 1n;

  constructor(
    readonly ranges: readonly DmaRange[],
    bornRevoked: boolean,
    private readonly onRelease: (buffer: SimDmaBuf) => void,
  ) {
    this.size = ranges.reduce((sum, { length }) => sum + length, 0n);
    this.inode = SimDmaBuf.#inodes++;
    this.#revoked = bornRevoked;
  }

  get revoked(): boolean {
    return this.#revoked || this.#dead;
  }

  /** Revoked for good. */
  get dead(): boolean {
    return this.#dead;
  }

  attach(area: SimArea): void {
    this.#areas.add(area);
  }

  detach(area: SimArea): void {
    this.#areas.delete(area);
  }

  /** A revoke empties iommufd's areas; they do not come back when it is undone. */
  move(revoked: boolean): void {
    if (revoked) { for (const area of this.#areas) area.live = false; }
    this.#revoked = revoked;
    this.onMove();
  }

  die(): void {
    this.#dead = true;
    this.move(true);
  }

  release(): void {
    this.onRelease(this);
  }
}

/** A stretch of an I/O address space that a buffer is mapped to. */
export interface SimArea {
  readonly iova: bigint;
  readonly length: bigint;
  readonly buffer: SimDmaBuf;
  /** Whether DMA through it lands. */
  live: boolean;
}

/** An eventfd. */
export class SimEventFd implements SimFile {
  readonly kind = "eventfd";
  references = 0;
  count = 0n;
  onSignal: () => void = () => {};
  signal(): void {
    this.count++;
    this.onSignal();
  }
  release(): void {}
}
