/**
 * What a simulation with real descriptors needs of the operating system beyond the `Kernel` port:
 * files in memory that stand for dma-bufs. `ffi/memory_files.ts` has it on Linux.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";

/** A stretch of a file that was written to. */
export interface WrittenPart {
  /** Bytes from the file's start. */
  readonly offset: bigint;
  readonly bytes: Uint8Array;
}

/** Files in memory. Every descriptor is close-on-exec. All methods throw `KernelError`. */
export interface MemoryFiles {
  /** A file of this many bytes, zeroed. @param what its name in `/proc/PID/fd` */
  create(what: string, size: bigint): Fd;
  /** Another descriptor of the same open file. */
  duplicate(fd: Fd): Fd;
  /** Opens the same file once more: an open file of its own. */
  reopen(fd: Fd): Fd;
  /**
   * Whether this is the only open file of its file, wherever descriptors of it may be: in other
   * processes, in messages on their way, behind mappings.
   */
  isOnlyOpen(fd: Fd): boolean;
  /** What was written, in order; the rest is zeros. */
  written(fd: Fd): readonly WrittenPart[];
  write(fd: Fd, part: WrittenPart): void;
  resize(fd: Fd, size: bigint): void;
  /** Which file a descriptor is of; the same text for the same file only. */
  identity(fd: Fd): { readonly text: string; readonly inode: bigint };
  closesOnExec(fd: Fd): boolean;
  isEventFd(fd: Fd): boolean;
  /** Makes an eventfd readable. */
  signal(eventFd: Fd): void;
}
