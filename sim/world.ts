/**
 * What lanes see of the simulated kernel.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { FeatureAnswer, Packet } from "../engine/kernel.ts";
import type { Descriptors, SimFile } from "./file_table.ts";
import type { SimGroup } from "./group.ts";
import type { SimVfioDevice } from "./vfio.ts";

/** The state that all lanes share. */
export interface SimWorld {
  readonly pageSize: number;
  readonly feature: FeatureAnswer;
  readonly table: Descriptors;
  /** By the path of their node. */
  readonly devices: ReadonlyMap<string, SimVfioDevice>;
  /** IOMMU groups by the path of their node. */
  readonly groups: ReadonlyMap<string, SimGroup>;
  /** To be passed by every call of a lane: a fault or a stall may wait there. */
  enter(call: string, subject: string): Promise<void>;
  receive(socket: Fd): Packet | "empty" | "end";
  pidOf(pidfd: Fd): number | undefined;
  close(fd: Fd): void;
  /** @returns the file behind a descriptor, which must be of this class */
  file<T extends SimFile>(fd: Fd, kind: abstract new (...args: never[]) => T): T;
}
