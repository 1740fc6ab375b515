/**
 * Files in memory that stand for dma-bufs where devices are simulated.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { closeDescriptor, closesOnExec, duplicate, memfd, openPath } from "./descriptors.ts";
import { checked, ERRNO, kernelError, reissued } from "./errno.ts";
import { signalEventFd } from "./event_fd.ts";
import { identifyDescriptor } from "./file_identity.ts";
import { C } from "./layouts.ts";
import { libc } from "./libc.ts";
import { readLink } from "./read_file.ts";

/** A stretch of a file. */
interface Part {
  /** Bytes from the file's start. */
  readonly offset: bigint;
  readonly bytes: Uint8Array;
}

const CHUNK = 1024 * 1024;

/**
 * memfd(2), as a simulation needs it.
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { LinuxMemoryFiles } from "./memory_files.ts";
 *
 * const memory = new LinuxMemoryFiles();
 * const file = memory.create("example", 4096n);
 * const other = memory.reopen(file);
 * if (memory.isOnlyOpen(file)) throw new Error("it is open twice");
 * closeDescriptor(other);
 * if (!memory.isOnlyOpen(file)) throw new Error("it is open once");
 * closeDescriptor(file);
 * ```
 */
export class LinuxMemoryFiles {
  /**
   * The descriptor is of a second open file: of those that memfd_create itself makes the kernel keeps no
   * count.
   */
  create(what: string, size: bigint): Fd {
    const first = memfd(what, size);
    try {
      return this.reopen(first);
    } finally {
      closeDescriptor(first);
    }
  }

  duplicate(fd: Fd): Fd {
    return duplicate(fd);
  }

  reopen(fd: Fd): Fd {
    return openPath(`/proc/thread-self/fd/${fd.number}`, C.O_RDWR, fd.what);
  }

  /** The kernel gives a write lease to none but the only open file there is (fcntl(2), F_SETLEASE). */
  isOnlyOpen(fd: Fd): boolean {
    const { number, what } = fd;
    const lease = (kind: number) => reissued(() => libc().fcntl(number, C.F_SETLEASE, kind));
    const result = lease(C.F_WRLCK);
    if (result === -ERRNO.EAGAIN || result === -ERRNO.EBUSY) return false;
    checked("fcntl(F_SETLEASE)", what, result);
    checked("fcntl(F_SETLEASE)", what, lease(C.F_UNLCK));
    return true;
  }

  written(fd: Fd): readonly Part[] {
    const parts: Part[] = [];
    for (let end = 0n;;) {
      const start = seek(fd, end, C.SEEK_DATA);
      if (start === undefined) return parts;
      end = seek(fd, start, C.SEEK_HOLE) ?? start;
      for (let at = start; at < end; at += BigInt(CHUNK)) {
        parts.push({ offset: at, bytes: read(fd, at, Math.min(CHUNK, Number(end - at))) });
      }
      if (end === start) return parts;
    }
  }

  write(fd: Fd, { offset, bytes }: Part): void {
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.slice(done);
      const at = offset + BigInt(done);
      const size = BigInt(rest.length);
      const count = reissued(() => libc().pwrite(fd.number, rest, size, at));
      done += checked("pwrite", fd.what, count);
    }
  }

  resize(fd: Fd, size: bigint): void {
    checked("ftruncate", fd.what, reissued(() => libc().ftruncate(fd.number, size)));
  }

  identity(fd: Fd): { readonly text: string; readonly inode: bigint } {
    const { device, inode } = identifyDescriptor(fd);
    return { text: `${device}:${inode}`, inode };
  }

  closesOnExec(fd: Fd): boolean {
    return closesOnExec(fd);
  }

  isEventFd(fd: Fd): boolean {
    return readLink(`/proc/thread-self/fd/${fd.number}`) === "anon_inode:[eventfd]";
  }

  signal(eventFd: Fd): void {
    signalEventFd(eventFd);
  }
}

/** @returns absent: there is no more of it (ENXIO) */
function seek(fd: Fd, offset: bigint, whence: number): bigint | undefined {
  const at = libc().lseek(fd.number, offset, whence);
  return at === -1n ? undefined : at;
}

function read(fd: Fd, offset: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const count = reissued(() => libc().pread(fd.number, bytes, BigInt(length), offset));
  if (checked("pread", fd.what, count) === length) return bytes;
  throw kernelError("pread", -ERRNO.EIO, fd.what);
}
