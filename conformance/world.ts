/**
 * What a conformance case needs besides the `Kernel` port: devices by what they are good for, and
 * hands that do to a device what its user cannot.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { Kernel, Lane } from "../engine/kernel.ts";

/**
 * Devices by what they are good for. `memory`, `memory2`: 16 MiB of plain memory in BAR 2, an MSI-X
 * table in BAR 0, function reset, power management, behind a port of their own. `plain`: memory in
 * BAR 2, 256 bytes in BAR 0, no reset, on the root bus. `engine`: DMA, no function reset. `ports`:
 * I/O ports in BAR 4, less than a page of memory nowhere. `virtual`: a virtual function. `pair0`,
 * `pair1`: two functions that a hot reset hits together.
 */
export type Role =
  | "memory"
  | "memory2"
  | "plain"
  | "engine"
  | "ports"
  | "virtual"
  | "pair0"
  | "pair1";

/** A device as its user finds it. */
export interface Device {
  readonly address: string;
  /** Its character device. */
  readonly node: string;
  /** Its IOMMU group's node. */
  readonly group: string;
  /** BAR with memory that can be exported, 16 pages at least. */
  readonly bar: number;
}

/** What others than the device's user can do. */
export interface Outside {
  /** Writes `1` to the function's `reset` in sysfs. */
  reset(address: string): Promise<void>;
  /** Writes `1` to the `reset_subordinate` of the bridge above, where there is one. */
  resetBelowBridge(address: string): Promise<void>;
  /** Writes config space past VFIO. */
  writeConfig(address: string, offset: number, bytes: Uint8Array): Promise<void>;
  /** Unbinds the driver. @returns resolves when that is over, which it is not while the device is in use */
  unbind(address: string): Promise<{ readonly over: Promise<void> }>;
  /** Binds the driver again. */
  bind(address: string): Promise<void>;
}

/** An import by a driver that the laboratory has not. */
export interface Importer {
  /** Its device uses the memory. @returns whether that lands */
  lands(): boolean;
  /** Its user gives the memory up. */
  leave(): void;
}

/** One of the two sides: the simulation, or a real kernel. */
export interface World {
  readonly side: Side;
  readonly kernel: Kernel;
  readonly lane: Lane;
  readonly outside: Outside;
  /** @returns the device; absent: this side has none of the kind */
  device(role: Role): Promise<Device | undefined>;
  /**
   * Whether a DMA write of `engine` lands in a device's memory.
   *
   * @param engine descriptor of the device `engine`, bound, attached, and allowed to do DMA
   * @param iova where it writes
   * @param into the memory that should change
   * @param offset bytes into its BAR
   */
  lands(engine: Fd, iova: bigint, into: Device, offset: number): Promise<boolean>;
  /** Revokes (true) and restores (false) of a device's buffers since this was last asked. */
  moves(address: string): readonly boolean[];
  /**
   * Puts a fence on a buffer: a revoke waits for it, as for an importer that does not let go.
   *
   * @returns signals it
   */
  hold(buffer: Fd): Promise<() => void>;
  /**
   * A driver imports a buffer; only on the simulation.
   *
   * @param driver as policies call it
   * @param reachable whether the PCI topology lets its device reach the exporter's
   */
  importBy(driver: string, buffer: Fd, reachable?: boolean): Importer;
  /** A lane beside `lane`, which sees the descriptors of the process's own table. The world ends it. */
  beside(which: "working" | "waiting"): Lane;
  /** What a raw call answers that the port does not offer, by name; only on a real kernel. */
  raw(row: string): Promise<string>;
}

/** Which side. */
export type Side = "sim" | "kernel";
