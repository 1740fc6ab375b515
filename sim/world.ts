/**
 * What lanes see of the simulated kernel.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { FeatureAnswer, Packet } from "../engine/kernel.ts";
import type { SimErrno } from "./errno.ts";
import type { Descriptors, SimFile } from "./file_table.ts";
import type { SimGroup } from "./group.ts";
import type { SimVfioDevice } from "./vfio.ts";

/** A class of files. */
export type FileKind<T extends SimFile> = abstract new (...args: never[]) => T;

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
  /**
   * @param fd descriptor
   * @param kind what its file must be
   * @param call for the refusal, which is EBADF where nothing is open
   * @param otherwise the refusal where another kind of file is
   * @returns the file
   */
  file<T extends SimFile>(fd: Fd, kind: FileKind<T>, call?: string, otherwise?: SimErrno): T;
}
