/**
 * VFIO devices and their dma-bufs, by the rules of drivers/vfio/pci (Linux 7.3): what revokes, what
 * validates again, and that the last close is for good.
 *
 * @module
 */
import type { DmaRange } from "../engine/kernel.ts";
import { refusal } from "./errno.ts";
import type { SimFile } from "./file_table.ts";

const PCI_COMMAND = 4;
const PCI_COMMAND_MEMORY = 0x2;
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
}

/** The driver's side of one function. */
export class SimVfioDevice {
  readonly #buffers = new Set<SimDmaBuf>();
  #opens = 0;
  #command = 0;
  #bound = false;
  /** Eventfds armed on interrupts. */
  readonly interrupts = new Map<"error" | "request", SimEventFd>();

  constructor(readonly fn: SimFunction) {}

  /** Whether the driver answers memory accesses. */
  get enabled(): boolean {
    return this.fn.virtual || (this.#command & PCI_COMMAND_MEMORY) !== 0;
  }

  get isOpen(): boolean {
    return this.#opens > 0;
  }

  openFile(): SimDeviceFile {
    return new SimDeviceFile(this);
  }

  /** `VFIO_DEVICE_BIND_IOMMUFD`: opens the device. */
  bind(): void {
    if (this.#bound) throw refusal("VFIO_DEVICE_BIND_IOMMUFD", "EINVAL", this.fn.address);
    this.#bound = true;
    this.#opens++;
    this.#command |= PCI_COMMAND_MEMORY;
  }

  /** The last reference to a bound file has gone: everything exported is dead for good. */
  closed(): void {
    if (--this.#opens > 0) return;
    for (const buffer of this.#buffers) buffer.die();
    this.#buffers.clear();
    this.interrupts.clear();
    this.#bound = false;
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
    this.#buffers.add(buffer);
    return buffer;
  }

  /** `VFIO_DEVICE_RESET`: revokes, and validates again if memory decode is on. */
  reset(): void {
    if (!this.fn.resettable) throw refusal("VFIO_DEVICE_RESET", "EINVAL", this.fn.address);
    this.#move(true);
    if (this.enabled) this.#move(false);
  }

  read(region: number, offset: bigint, length: number): Uint8Array {
    if (region !== CONFIG_REGION) return new Uint8Array(length);
    const config = new Uint8Array(this.fn.config);
    new DataView(config.buffer).setUint16(PCI_COMMAND, this.#command, true);
    return config.slice(Number(offset), Number(offset) + length);
  }

  /** Only the command register does anything. */
  write(region: number, offset: bigint, bytes: Uint8Array): void {
    if (region !== CONFIG_REGION || offset !== BigInt(PCI_COMMAND)) return;
    this.#command = (bytes[0] ?? 0) | (bytes[1] ?? 0) << 8;
    const on = (this.#command & PCI_COMMAND_MEMORY) !== 0;
    if (!on) this.#move(true);
    if (this.enabled) this.#move(false);
  }

  #move(revoked: boolean): void {
    for (const buffer of this.#buffers) buffer.move(revoked);
  }
}

/** An open character device; every operation but the bind needs the bind. */
export class SimDeviceFile implements SimFile {
  readonly kind = "vfio-device";
  references = 0;
  bound = false;
  constructor(readonly device: SimVfioDevice) {}
  release(): void {
    if (this.bound) this.device.closed();
  }
}

/** A dma-buf. */
export class SimDmaBuf implements SimFile {
  readonly kind = "dma-buf";
  references = 0;
  name: string | undefined;
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
  }

  die(): void {
    this.move(true);
    this.#dead = true;
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
