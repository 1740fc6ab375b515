/**
 * From the description of a machine to its snapshot: addresses are given out, bridges get their
 * windows, configuration space is written.
 *
 * @module
 */
import { comparePciAddresses } from "../../../host/address.ts";
import type {
  HostSnapshot,
  SnapshotBar,
  SnapshotCpu,
  SnapshotFunction,
} from "../../../host/snapshot.ts";
import {
  type Capability,
  type ExtendedCapability,
  writeCapabilities,
  writeExtended,
} from "./config_space.ts";

/** A BAR as it is asked for: 64-bit and prefetchable unless it says otherwise. */
export interface BarSpec {
  readonly index: number;
  readonly size: bigint;
  readonly kind?: SnapshotBar["kind"];
  readonly prefetchable?: boolean;
}

/** A function, with what is behind it if it is a bridge. */
export interface FunctionSpec {
  readonly address: string;
  /** `vvvv:dddd` */
  readonly id: string;
  readonly class: string;
  readonly revision?: number;
  readonly subsystem?: string;
  readonly driver?: string;
  readonly group: number;
  readonly physfn?: string;
  readonly slot?: string;
  /** Its device has several functions. */
  readonly multifunction?: true;
  readonly resetMethods?: readonly string[];
  readonly bars?: readonly BarSpec[];
  /** None: conventional PCI, 256 bytes. */
  readonly capabilities?: readonly Capability[];
  readonly extended?: readonly ExtendedCapability[];
  /** Of a bridge. */
  readonly behind?: readonly FunctionSpec[];
}

/** A root complex: a root bus, and where the addresses of its BARs come from. */
export interface RootComplexSpec {
  /** `pci0000:00` */
  readonly bus: string;
  readonly numaNode: number;
  /** First address below 4 GiB, and first above. */
  readonly memory: readonly [low: bigint, high: bigint];
  readonly functions: readonly FunctionSpec[];
}

/** A machine. */
export interface MachineSpec {
  readonly description: string;
  readonly release: string;
  readonly cpu: SnapshotCpu;
  readonly pageSize: number;
  readonly iommu: readonly string[];
  readonly roots: readonly RootComplexSpec[];
}

const MIB = 1n << 20n;

/** Gives out addresses, each aligned to its size. */
class Space {
  constructor(private next: bigint) {}

  take(size: bigint): bigint {
    const start = this.align(size);
    this.next = start + size;
    return start;
  }

  /** @returns the next address, aligned */
  align(size: bigint): bigint {
    this.next = (this.next + size - 1n) / size * size;
    return this.next;
  }
}

interface Spaces {
  readonly low: Space;
  readonly high: Space;
}

/** Addresses `[start, end)`; nothing if both are the same. */
type Window = readonly [start: bigint, end: bigint];

/**
 * Makes the snapshot of a machine.
 *
 * @param spec its description
 */
export function snapshotOf(spec: MachineSpec): HostSnapshot {
  const functions = new Builder().build(spec.roots);
  return {
    description: spec.description,
    kernel: { release: spec.release },
    cpu: spec.cpu,
    pageSize: spec.pageSize,
    iommu: spec.iommu,
    functions: functions.sort((a, b) => comparePciAddresses(a.address, b.address)),
  };
}

class Builder {
  readonly #made: SnapshotFunction[] = [];
  #cdevs = 0;

  build(roots: readonly RootComplexSpec[]): SnapshotFunction[] {
    for (const { bus, numaNode, memory, functions } of roots) {
      const spaces = { low: new Space(memory[0]), high: new Space(memory[1]) };
      for (const spec of functions) this.#add(spec, bus, numaNode, spaces);
    }
    return this.#made;
  }

  #add(spec: FunctionSpec, parent: string, numaNode: number, spaces: Spaces): void {
    const bars = (spec.bars ?? []).map((bar) => placeBar(bar, spaces));
    const lowStart = spaces.low.align(MIB);
    const highStart = spaces.high.align(MIB);
    for (const below of spec.behind ?? []) this.#add(below, spec.address, numaNode, spaces);
    const windows: [Window, Window] = [
      [lowStart, spaces.low.align(MIB)],
      [highStart, spaces.high.align(MIB)],
    ];
    const vfio = spec.driver === "vfio-pci";
    this.#made.push({
      address: spec.address,
      vendor: spec.id.slice(0, 4),
      device: spec.id.slice(5),
      ...(spec.behind === undefined ? { subsystem: spec.subsystem ?? NO_SUBSYSTEM } : {}),
      class: spec.class,
      ...(spec.driver === undefined ? {} : { driver: spec.driver }),
      iommuGroup: spec.group,
      numaNode,
      ...(spec.physfn === undefined ? {} : { physfn: spec.physfn }),
      parent,
      ...(spec.slot === undefined ? {} : { slot: spec.slot }),
      ...(vfio ? { cdev: `/dev/vfio/devices/vfio${this.#cdevs++}` } : {}),
      groupNode: `/dev/vfio/${spec.group}`,
      resetMethods: spec.resetMethods ?? [],
      powerState: "D0",
      config: configOf(spec, bars, windows),
      bars,
      unreadable: [],
    });
  }
}

/** What the registers of a function say that has none. */
const NO_SUBSYSTEM = "0000:0000";

/** No bridge here has a window for I/O, and so the kernel leaves such a BAR without an address. */
function placeBar(spec: BarSpec, { low, high }: Spaces): SnapshotBar {
  const { index, size, kind = "memory64" } = spec;
  const prefetchable = spec.prefetchable ?? kind === "memory64";
  const space = kind === "memory64" && prefetchable ? high : low;
  const start = kind === "io" ? 0n : space.take(size);
  return { index, kind, start, size, prefetchable };
}

function configOf(
  spec: FunctionSpec,
  bars: readonly SnapshotBar[],
  windows: readonly [Window, Window],
): Uint8Array {
  const config = new Uint8Array(spec.capabilities === undefined ? 256 : 4096);
  const view = new DataView(config.buffer);
  const virtual = spec.physfn !== undefined;
  // Virtual functions have no ids and no BARs of their own in their headers.
  view.setUint16(0x00, virtual ? 0xffff : parseInt(spec.id.slice(0, 4), 16), true);
  view.setUint16(0x02, virtual ? 0xffff : parseInt(spec.id.slice(5), 16), true);
  view.setUint16(0x04, spec.driver === undefined ? 0 : 0x0006, true);
  view.setUint32(0x08, (parseInt(spec.class, 16) << 8 | (spec.revision ?? 0)) >>> 0, true);
  view.setUint8(0x0e, headerType(spec));
  if (!virtual) { for (const bar of bars) writeBar(view, bar); }
  if (spec.behind !== undefined) writeBridge(view, spec, windows);
  else if (spec.subsystem !== undefined) {
    view.setUint16(0x2c, parseInt(spec.subsystem.slice(0, 4), 16), true);
    view.setUint16(0x2e, parseInt(spec.subsystem.slice(5), 16), true);
  }
  writeCapabilities(view, spec.capabilities ?? []);
  writeExtended(view, spec.extended ?? []);
  return config;
}

function headerType({ behind, multifunction }: FunctionSpec): number {
  return (behind === undefined ? 0x00 : 0x01) | (multifunction ? 0x80 : 0);
}

function writeBar(view: DataView, { index, kind, start, prefetchable }: SnapshotBar): void {
  const flags = kind === "io" ? 0x1n : (kind === "memory64" ? 0x4n : 0n) | (prefetchable ? 8n : 0n);
  const at = 0x10 + 4 * index;
  view.setUint32(at, Number((start | flags) & 0xffff_ffffn), true);
  if (kind === "memory64") view.setUint32(at + 4, Number(start >> 32n), true);
}

function writeBridge(
  view: DataView,
  { address, behind = [] }: FunctionSpec,
  [low, high]: readonly [Window, Window],
): void {
  view.setUint8(0x18, busOf(address));
  view.setUint8(0x19, Math.min(...behind.map((below) => busOf(below.address))));
  view.setUint8(0x1a, Math.max(...behind.map(lastBus)));
  // No I/O behind it: base above limit.
  view.setUint8(0x1c, 0xf0);
  writeWindow(view, 0x20, low, false);
  writeWindow(view, 0x24, high, true);
}

/** Base above limit: the window is closed. */
function writeWindow(view: DataView, at: number, [start, end]: Window, wide: boolean): void {
  const [base, limit] = start === end ? [MIB, 0n] : [start, end - 1n];
  const register = (address: bigint) => Number((address >> 16n) & 0xfff0n) | (wide ? 1 : 0);
  view.setUint16(at, register(base), true);
  view.setUint16(at + 2, register(limit), true);
  if (!wide) return;
  view.setUint32(0x28, Number(base >> 32n), true);
  view.setUint32(0x2c, Number(limit >> 32n), true);
}

function busOf(address: string): number {
  return parseInt(address.split(":")[1] ?? "", 16);
}

function lastBus({ address, behind = [] }: FunctionSpec): number {
  return Math.max(busOf(address), ...behind.map(lastBus));
}
