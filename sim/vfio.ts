/**
 * VFIO devices and their dma-bufs, by the rules of drivers/vfio/pci (Linux 7.3): what revokes, what
 * validates again, and that the last close is for good.
 *
 * @module
 */
import type { DmaRange, RegionInfo } from "../engine/kernel.ts";
import type { SimAddressSpace } from "./address_space.ts";
import { CAPABILITY, configWrites, findCapability } from "./config_space.ts";
import { SimDmaBuf } from "./dma_buf.ts";
import { refusal } from "./errno.ts";
import { drop, type SimFile, take } from "./file_table.ts";
import type { SimIommufd } from "./iommufd.ts";
import { drive, SimMemoryLock, type Steps } from "./memory_lock.ts";
import { type SimMemories, SimNvmeRegisters } from "./nvme_registers.ts";
import { SimVfToken } from "./vf_token.ts";

export { SimDmaBuf };

const PCI_COMMAND = 4;
const PCI_COMMAND_MEMORY = 0x2;
/** From the power management capability's start. */
const PMCSR = 4;
const D0 = 0;
const D3HOT = 3;
/** From the PCI Express capability's start: device capabilities and control. */
const DEVCAP = 4;
const DEVCAP_FLR = 1 << 28;
const DEVCTL = 8;
const DEVCTL_FLR = 0x8000;
const CONFIG_REGION = 7;
/** Of an NVMe controller. */
const REGISTERS_BAR = 0;
const VGA_REGION = 8;
const BARS = 6;
const MSIX_MAPPABLE = 3;
/** A BAR's address: only that it is not 0 matters. */
const BAR_START = 0xc000_0000n;
const MOST = (1n << 64n) - 1n;

/** A PCI function of the simulated host, bound to vfio-pci. */
export interface SimFunction {
  readonly address: string;
  readonly node: string;
  /** 256 bytes at least. */
  readonly config: Uint8Array;
  /** Memory BARs by index, bytes. */
  readonly bars: ReadonlyMap<number, bigint>;
  /** BARs of I/O ports by index, bytes. */
  readonly ports?: ReadonlyMap<number, bigint>;
  readonly resettable: boolean;
  /** A virtual function has no memory bit of its own. */
  readonly virtual: boolean;
  /** IOMMU group; absent: one of its own, with no node. */
  readonly group?: number;
  /** Addresses of what a hot reset hits, itself included; absent: there is no slot or bus reset. */
  readonly hotResetDomain?: readonly string[];
  /** Of an NVMe controller that was asked: what its registers say. */
  readonly memories?: SimMemories;
  /** A physical function: it has a token, which those who open its virtual functions must give. */
  readonly sriov?: boolean;
  /** Of a virtual function: its physical function, which counts if it is a device of this host too. */
  readonly physfn?: string;
  /** Of a physical function: it has virtual functions, which need not be devices of this host. */
  readonly hasVirtualFunctions?: boolean;
}

/** The driver's side of one function. */
export class SimVfioDevice {
  readonly #buffers = new Set<SimDmaBuf>();
  #opens = 0;
  /** The command register, and what VFIO takes its memory bit for: who writes past VFIO changes the one. */
  #command = 0;
  #decodes = false;
  #powerState = D0;
  #lowPower = false;
  /** Open files, bound or not; whoever unbinds the driver waits for the last. */
  #files = 0;
  #waitingForFiles: (() => void) | undefined;
  readonly #lock = new SimMemoryLock();
  /** While its last close waits: an open waits behind. */
  closing: Promise<void> | undefined;
  /** Told of each export. */
  onExport: (buffer: SimDmaBuf) => void = () => {};
  #unbinding = false;
  /** Its id in the iommufd that owns its DMA. */
  #id: number | undefined;
  /** What its DMA goes through. */
  space: SimAddressSpace | undefined;
  /** The iommufd that owns its DMA, by the character-device route. */
  owner: SimIommufd | undefined;
  /** The same by the group route. */
  #groupOwner: SimIommufd | undefined;
  /** Eventfds armed on interrupts. */
  readonly interrupts = new Map<"error" | "request", SimEventFd>();

  /** Of an NVMe controller of which it is known what they say. */
  readonly registers: SimNvmeRegisters | undefined;
  readonly #token: SimVfToken | undefined;
  /** Virtual functions that it has. */
  #virtualFunctions = 0;

  /**
   * @param fn the function
   * @param physical its physical function, if it is a virtual one and that is bound to vfio-pci
   * @param onMove is told of every revoke (true) and restore (false) of its buffers
   */
  constructor(
    readonly fn: SimFunction,
    private readonly physical?: SimVfioDevice,
    private readonly onMove: (revoked: boolean) => void = () => {},
  ) {
    this.registers = fn.memories && new SimNvmeRegisters(fn.memories);
    this.#token = fn.sriov === true ? new SimVfToken() : undefined;
    if (physical !== undefined) physical.#virtualFunctions++;
  }

  /** Whether the driver answers memory accesses. */
  get enabled(): boolean {
    if (this.#powerState === D3HOT) return false;
    return this.fn.virtual || this.#decodes;
  }

  get isOpen(): boolean {
    return this.#opens > 0;
  }

  openFile(): SimDeviceFile {
    return new SimDeviceFile(this);
  }

  /** An interrupt holds its eventfd, whoever closes it. */
  arm(which: "error" | "request", eventFd: SimEventFd | undefined): void {
    const before = this.interrupts.get(which);
    this.interrupts.delete(which);
    if (eventFd !== undefined) this.interrupts.set(which, take(eventFd));
    if (before !== undefined) drop(before);
  }

  /** `VFIO_DEVICE_BIND_IOMMUFD` of a device that is not open. */
  bind(owner: SimIommufd): void {
    // Who unbinds holds the device's lock, which the reset at an open wants.
    if (this.#unbinding) throw refusal("VFIO_DEVICE_BIND_IOMMUFD", "EAGAIN", this.fn.address);
    this.owner = take(owner);
    this.#id = owner.bindDevice();
    this.#open();
  }

  /** `VFIO_GROUP_GET_DEVICE_FD`: opens the device, as often as one likes. */
  openByGroup(owner: SimIommufd | undefined): void {
    const call = "VFIO_GROUP_GET_DEVICE_FD";
    if (this.#opens === 0 && owner !== undefined) {
      if (owner.compatible === undefined) throw refusal(call, "ENODEV", this.fn.address);
      this.#groupOwner = take(owner);
      this.#id = owner.bindDevice();
      this.#attachCompatible(owner, owner.compatible);
    }
    this.#open();
  }

  #attachCompatible(owner: SimIommufd, ioas: number): void {
    try {
      this.space = owner.attach("VFIO_GROUP_GET_DEVICE_FD", ioas);
    } catch (error) {
      this.#leaveIommufd();
      throw error;
    }
  }

  #open(): void {
    if (this.#opens++ > 0) return;
    this.physical?.lend(1);
    this.#command |= PCI_COMMAND_MEMORY;
    this.#decodes = true;
    this.#powerState = D0;
  }

  /** `VFIO_DEVICE_ATTACH_IOMMUFD_PT`; takes the place of what it was attached to. */
  attach(id: number): void {
    const call = "VFIO_DEVICE_ATTACH_IOMMUFD_PT";
    if (this.owner === undefined) throw refusal(call, "ENOTTY", this.fn.address);
    const before = this.space;
    this.space = this.owner.attach(call, id);
    if (before !== undefined) this.owner.detach(before);
  }

  /** A virtual function of it was opened (1) or closed (-1). */
  lend(users: 1 | -1): void {
    if (this.#token !== undefined) this.#token.users += users;
  }

  /** Before it is opened: a virtual function's token is its physical function's. */
  checkToken(call: string, given: string | undefined): void {
    const errno = this.physical === undefined
      ? SimVfToken.ownRefusal(this.#token, given)
      : this.physical.#token?.refusal(given);
    if (errno !== undefined) throw refusal(call, errno, this.fn.address);
  }

  /** One more file refers to the device. */
  fileOpened(): void {
    this.#files++;
  }

  fileClosed(): void {
    if (--this.#files === 0) this.#waitingForFiles?.();
  }

  /** The driver is unbound: asks for the device, and waits until every file is closed. */
  async unbind(): Promise<void> {
    this.#unbinding = true;
    if (this.#files === 0) return;
    this.interrupts.get("request")?.signal();
    await new Promise<void>((resolve) => this.#waitingForFiles = resolve);
  }

  /** The last reference to a bound file has gone: everything exported is dead for good. */
  closed(): void | Promise<void> {
    if (--this.#opens > 0) return;
    const closed = drive(this.#lock.hold(this.#close()));
    if (closed === undefined) return;
    this.closing = closed.then(() => this.closing = undefined);
    return this.closing;
  }

  *#close(): Steps {
    this.physical?.lend(-1);
    yield* this.#move(true);
    for (const buffer of this.#buffers) buffer.die();
    this.#buffers.clear();
    // Its way out of low power restores what there is no more.
    if (this.enabled) yield* this.#move(false);
    this.arm("error", undefined);
    this.arm("request", undefined);
    this.#lowPower = false;
    this.#leaveIommufd();
  }

  /** @returns its id in an iommufd; absent: it is not bound to that one */
  idIn(iommufd: SimIommufd): number | undefined {
    return this.owner === iommufd ? this.#id : undefined;
  }

  #leaveIommufd(): void {
    const owner = this.owner ?? this.#groupOwner;
    this.owner = this.#groupOwner = undefined;
    if (owner === undefined) return;
    if (this.space !== undefined) owner.detach(this.space);
    this.space = undefined;
    if (this.#id !== undefined) owner.unbindDevice(this.#id);
    drop(owner);
  }

  /** The checks are in the kernel's order: first all ranges by themselves, then against the BAR. */
  export(
    region: number,
    ranges: readonly DmaRange[],
    page: bigint,
  ): SimDmaBuf | Promise<SimDmaBuf> {
    const refused = (errno: "EINVAL" | "ENODEV" | "EOVERFLOW") =>
      refusal("VFIO_DEVICE_FEATURE_DMA_BUF", errno, this.fn.address);
    const bar = region < BARS ? this.fn.bars.get(region) : undefined;
    const ports = this.fn.ports?.has(region) === true;
    if (ranges.length === 0) throw refused("EINVAL");
    if (bar === undefined && !ports) throw refused("ENODEV");
    for (const { offset, length } of ranges) {
      if (length === 0n || offset % page !== 0n || length % page !== 0n) throw refused("EINVAL");
    }
    const size = ranges.reduce((sum, { length }) => sum + length, 0n);
    if (size > MOST >> 1n || bar === undefined) throw refused("EINVAL");
    for (const { offset, length } of ranges) {
      if (BAR_START + offset + length > MOST) throw refused("EOVERFLOW");
      if (offset + length > bar) throw refused("EINVAL");
    }
    return this.#lock.do(() => this.#make(region, ranges));
  }

  #make(region: number, ranges: readonly DmaRange[]): SimDmaBuf {
    const buffer = new SimDmaBuf(ranges, !this.enabled, (gone) => this.#buffers.delete(gone));
    buffer.source = `BAR ${region} of ${this.fn.address}`;
    this.#buffers.add(buffer);
    this.onExport(buffer);
    return buffer;
  }

  /** `VFIO_DEVICE_RESET`: revokes, and validates again if memory decode is on. */
  reset(): void | Promise<void> {
    if (!this.fn.resettable) throw refusal("VFIO_DEVICE_RESET", "EINVAL", this.fn.address);
    return drive(this.#lock.hold(this.#reset()));
  }

  *#reset(): Steps {
    yield* this.#bounce();
    // Who unbinds holds the device's lock; the buffers have bounced all the same.
    if (this.#unbinding) throw refusal("VFIO_DEVICE_RESET", "EAGAIN", this.fn.address);
  }

  /** What every reset does to the buffers; it also ends D3hot. */
  bounce(): void | Promise<void> {
    return drive(this.#lock.hold(this.#bounce()));
  }

  *#bounce(): Steps {
    yield* this.#move(true);
    yield* this.#afterReset();
  }

  *#afterReset(): Steps {
    this.#powerState = D0;
    if (this.isOpen && this.enabled) yield* this.#move(false);
  }

  /** `VFIO_DEVICE_PCI_HOT_RESET`: waits for nobody who holds one of them. */
  static hotReset(devices: readonly SimVfioDevice[]): void | Promise<void> {
    const busy = devices.find((device) => device.#lock.isHeld);
    if (busy !== undefined) throw refusal("VFIO_DEVICE_PCI_HOT_RESET", "EBUSY", busy.fn.address);
    const all = devices.reduce((work, device) => device.#lock.hold(work), bounceAll());
    return drive(all);

    function* bounceAll(): Steps {
      for (const device of devices) yield* device.#move(true);
      for (const device of devices) yield* device.#afterReset();
    }
  }

  /** `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: revokes, also when it is refused. */
  enterLowPower(): void | Promise<void> {
    return drive(this.#lock.hold(this.#enterLowPower()));
  }

  *#enterLowPower(): Steps {
    yield* this.#move(true);
    if (this.#lowPower) {
      throw refusal("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", "EINVAL", this.fn.address);
    }
    this.#lowPower = true;
  }

  /** `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`. */
  exitLowPower(): void | Promise<void> {
    return drive(this.#lock.hold(this.#exitLowPower()));
  }

  *#exitLowPower(): Steps {
    this.#lowPower = false;
    if (this.enabled) yield* this.#move(false);
  }

  /** `VFIO_DEVICE_GET_REGION_INFO`. */
  regionInfo(index: number, page: bigint): RegionInfo {
    if (index >= VGA_REGION) {
      throw refusal("VFIO_DEVICE_GET_REGION_INFO", "EINVAL", this.fn.address);
    }
    const isConfig = index === CONFIG_REGION;
    const bar = this.fn.bars.get(index);
    const size = isConfig ? BigInt(this.fn.config.length) : bar ?? this.fn.ports?.get(index) ?? 0n;
    const mmap = bar !== undefined && bar >= page;
    return {
      index,
      flags: { read: size > 0n, write: size > 0n, mmap },
      size,
      offset: BigInt(index) << 40n,
      capabilities: mmap && index === this.#msixBar ? [MSIX_MAPPABLE] : [],
    };
  }

  get #msixBar(): number | undefined {
    const msix = findCapability(this.fn.config, CAPABILITY.msix);
    return msix === undefined ? undefined : (this.fn.config[msix + 4] ?? 0) & 7;
  }

  read(region: number, offset: bigint, length: number): Uint8Array | Promise<Uint8Array> {
    if (region === CONFIG_REGION) return this.readConfig(offset, length);
    return this.#lock.do(() => this.#readBar(region, offset, length));
  }

  #readBar(region: number, offset: bigint, length: number): Uint8Array {
    const reached = this.#reachable(region, offset, length);
    if (region === REGISTERS_BAR && this.registers) return this.registers.read(offset, reached);
    return new Uint8Array(reached);
  }

  /** Waits for nobody. */
  readConfig(offset: bigint, length: number): Uint8Array {
    this.#checkConfig("pread", offset, length);
    return this.configSpace.slice(Number(offset), Number(offset) + length);
  }

  /** As it is now; a copy. */
  get configSpace(): Uint8Array {
    const config = new Uint8Array(this.fn.config);
    new DataView(config.buffer).setUint16(PCI_COMMAND, this.#command, true);
    const pmcsr = this.#pmcsr;
    if (pmcsr !== undefined) config[pmcsr] = this.#powerState;
    return config;
  }

  /** @returns how many bytes of a BAR an access reaches */
  #reachable(region: number, offset: bigint, length: number): number {
    const size = this.fn.bars.get(region) ?? this.fn.ports?.get(region) ?? 0n;
    if (offset >= size) throw refusal("pread", "EINVAL", this.fn.address);
    if (!this.enabled && this.fn.bars.has(region)) throw refusal("pread", "EIO", this.fn.address);
    return Number(size - offset < BigInt(length) ? size - offset : BigInt(length));
  }

  #checkConfig(call: string, offset: bigint, length: number): void {
    const size = BigInt(this.fn.config.length);
    if (offset + BigInt(length) > size) throw refusal(call, "EFAULT", this.fn.address);
  }

  /** Where the power state is; absent: the function has no power management. */
  get #pmcsr(): number | undefined {
    const at = findCapability(this.fn.config, CAPABILITY.powerManagement);
    return at === undefined ? undefined : at + PMCSR;
  }

  /** Somebody writes the command register past VFIO: no buffer is revoked by that. */
  writeCommandOutside(command: number): void {
    this.#command = command;
  }

  /** Somebody resets it past VFIO: the device is in D0 then, and no buffer is told. */
  resetOutside(): void {
    this.#powerState = D0;
  }

  /** Only the command register, the power state, the function reset and CMBMSC do anything. */
  write(region: number, offset: bigint, bytes: Uint8Array): void | Promise<void> {
    if (region !== CONFIG_REGION) {
      return this.#lock.do(() => this.#writeBar(region, offset, bytes));
    }
    this.#checkConfig("pwrite", offset, bytes.length);
    return drive(this.#writeConfig(Number(offset), bytes));
  }

  #writeBar(region: number, offset: bigint, bytes: Uint8Array): void {
    const written = this.#reachable(region, offset, bytes.length);
    if (region === REGISTERS_BAR) this.registers?.write(offset, bytes.subarray(0, written));
    if (written < bytes.length) throw refusal("pwrite", "ENOSPC", this.fn.address);
  }

  /** The lock is taken for what touches the buffers, and for nothing else. */
  *#writeConfig(offset: number, bytes: Uint8Array): Steps {
    for (const write of configWrites(offset, bytes)) {
      const work = this.#workOf(write.at, write.bytes);
      if (work !== undefined) yield* this.#lock.hold(work);
    }
  }

  #workOf(at: number, bytes: Uint8Array): Steps | undefined {
    if (at === PCI_COMMAND) return this.#writeCommand(bytes);
    if (at === this.#pmcsr) return this.#writePowerState((bytes[0] ?? 0) & D3HOT);
    if (this.#startsFunctionReset(at, bytes)) return this.#bounce();
    return undefined;
  }

  /** Whether a write sets the bit of a function that has the reset it stands for. */
  #startsFunctionReset(at: number, bytes: Uint8Array): boolean {
    const express = findCapability(this.fn.config, CAPABILITY.pciExpress);
    if (express === undefined) return false;
    const view = new DataView(this.fn.config.buffer, this.fn.config.byteOffset);
    if ((view.getUint32(express + DEVCAP, true) & DEVCAP_FLR) === 0) return false;
    const control = (bytes[express + DEVCTL - at] ?? 0) |
      (bytes[express + DEVCTL + 1 - at] ?? 0) << 8;
    return (control & DEVCTL_FLR) !== 0;
  }

  /**
   * D3hot revokes first, and is then refused while there are virtual functions. D1 and D2 are not
   * there: a write of them changes nothing.
   */
  *#writePowerState(state: number): Steps {
    if (state === D3HOT) yield* this.#move(true);
    const there = state === D0 || state === D3HOT;
    if (there && !this.#hasVirtualFunctions) this.#powerState = state;
    if (this.enabled) yield* this.#move(false);
  }

  get #hasVirtualFunctions(): boolean {
    return this.#virtualFunctions > 0 || this.fn.hasVirtualFunctions === true;
  }

  *#writeCommand(bytes: Uint8Array): Steps {
    this.#command = (bytes[0] ?? 0) | (bytes[1] ?? 0) << 8;
    this.#decodes = (this.#command & PCI_COMMAND_MEMORY) !== 0;
    if (!this.#decodes) yield* this.#move(true);
    if (this.enabled) yield* this.#move(false);
  }

  /** In the order in which they were made: those behind one that is held stay as they are meanwhile. */
  *#move(revoked: boolean): Steps {
    this.onMove(revoked);
    for (const buffer of this.#buffers) yield* buffer.move(revoked);
  }
}

/** An open device. By the character-device route every operation but the bind needs the bind. */
export class SimDeviceFile implements SimFile {
  readonly kind = "vfio-device";
  references = 0;
  bound = false;
  constructor(
    readonly device: SimVfioDevice,
    readonly byGroup = false,
    private readonly onRelease: () => void = () => {},
  ) {
    device.fileOpened();
  }
  /** While its last close waits for who holds a buffer. */
  closing: Promise<void> | undefined;
  release(): void {
    const closed = this.bound ? this.device.closed() : undefined;
    if (closed === undefined) this.#released();
    else this.closing = closed.then(() => this.#released());
  }
  #released(): void {
    this.closing = undefined;
    this.device.fileClosed();
    this.onRelease();
  }
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
