/**
 * Calls of the `Kernel` port as a plan tells them before they are made. Descriptors have names
 * instead of numbers: that of the node that was opened, or of what the call gives.
 *
 * @module
 */
import type { DmaRange, EventInterrupt } from "./kernel.ts";

/** A descriptor that an earlier call gives: a node's path, `dma-buf 1`, … */
export type FdName = string;

/** Where a call is made only on some hosts. */
export type Condition = "with-iommufd" | "without-iommufd";

/** What is made sure of before anything else is done; by field. */
export type Expectation = Readonly<Record<string, unknown>>;

/** One call, in the port's own words. */
export type PlannedCall =
  | { readonly call: "openIommufd"; readonly node: string; readonly gives: FdName }
  | { readonly call: "openNode" | "openShared"; readonly node: string; readonly gives: FdName }
  | { readonly call: "bindIommufd"; readonly on: FdName; readonly iommufd: FdName }
  | { readonly call: "setContainer"; readonly on: FdName; readonly container: FdName }
  | { readonly call: "setType1Iommu"; readonly on: FdName }
  | {
    readonly call: "groupDevice";
    readonly on: FdName;
    readonly address: string;
    readonly gives: FdName;
  }
  /** A copy of the owner's descriptor: taken (`pidfd_getfd`), or sent by who listens on a socket. */
  | {
    readonly call: "borrow";
    readonly address: string;
    readonly by: string;
    readonly gives: FdName;
  }
  | { readonly call: "fileTarget" | "deviceAddress"; readonly on: FdName }
  | {
    readonly call: "readRegion";
    readonly on: FdName;
    readonly region: number;
    readonly offset: bigint;
    readonly length: number;
  }
  | {
    readonly call: "writeRegion";
    readonly on: FdName;
    readonly region: number;
    readonly offset: bigint;
    /** Hexadecimal. */
    readonly bytes: string;
  }
  | { readonly call: "regionInfo"; readonly on: FdName; readonly region: number }
  | { readonly call: "ioasAlloc"; readonly on: FdName; readonly gives: string }
  | { readonly call: "armInterrupt"; readonly on: FdName; readonly interrupt: EventInterrupt }
  | { readonly call: "probeDmaBuf"; readonly on: FdName }
  | {
    readonly call: "exportDmaBuf";
    readonly on: FdName;
    readonly region: number;
    readonly ranges: readonly DmaRange[];
    readonly gives: FdName;
  }
  | { readonly call: "dmaBufFacts"; readonly on: FdName }
  | {
    readonly call: "ioasMapFile";
    readonly on: FdName;
    readonly ioas: string;
    readonly dmaBuf: FdName;
    readonly start: bigint;
    readonly length: bigint;
    readonly writeable: boolean;
  }
  | {
    readonly call: "ioasUnmap";
    readonly on: FdName;
    readonly ioas: string;
    readonly length: bigint;
  }
  | { readonly call: "close"; readonly on: FdName }
  /** The importer gets its buffers: as a child that is started with them, or on its socket. */
  | {
    readonly call: "deliver";
    readonly buffers: readonly Delivered[];
    /** What it never sees: Bargate maps them when it sends its iommufd (`mapping: bargate`). */
    readonly mappedOnRequest: readonly Delivered[];
  };

/** A buffer that the importer gets. */
export interface Delivered {
  /** What the importer knows it by (`bufferName`). */
  readonly name: string;
  readonly dmaBuf: FdName;
}

/** A call of a plan. */
export interface PlanStep {
  readonly made: PlannedCall;
  /** Absent: on every host. */
  readonly only?: Condition;
  /** What the answer must be. Another one ends everything, and nothing is delivered. */
  readonly expect?: Expectation;
}

/** An ioctl as it would be made. */
export interface IoctlBytes {
  /** `VFIO_DEVICE_FEATURE` */
  readonly name: string;
  /** `0x3b75` */
  readonly request: string;
  /** The argument's bytes; `..` for each byte that is known only when it is made. */
  readonly bytes: string;
}

/** Lays out the ioctls of a call, in order: layouts are `ffi/`'s affair. */
export type CallEncoder = (call: PlannedCall) => readonly IoctlBytes[];
