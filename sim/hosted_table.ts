/**
 * Descriptors of a simulation that are real: each simulated file has a file of the operating system
 * that stands for it, and when the last descriptor of that is closed, wherever it is, the simulated
 * file is released. So passing, inheriting, counting and closing are the kernel's own.
 *
 * A buffer is a file in memory. An event queue is an eventfd, readable while events wait. Anything else
 * (a device, an iommufd) is one end of a pair of sockets: the other end, kept here, reads the end of
 * the connection when nobody has the first one any more.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Kernel, Watch } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { SimEventQueue } from "./event_queue.ts";
import { type Descriptors, drop, type SimFile, take } from "./file_table.ts";
import { HostedBuffer } from "./hosted_buffer.ts";
import type { MemoryFiles } from "./memory_files.ts";
import { SimDmaBuf } from "./vfio.ts";

/** What stands for a file that is neither a buffer nor a queue. */
interface Pair {
  readonly file: SimFile;
  readonly kept: Fd;
  /** While another process has the other end. */
  watch?: Watch;
}

/** What stands for an event queue. Nobody passes these on. */
interface Queue {
  readonly file: SimFile;
  readonly kept: Fd;
}

/** Kind of what is none of the simulation's. */
export const OTHER_KIND = "other";
const OTHER: SimFile = { kind: OTHER_KIND, references: 0, release: () => {} };

/** The table of this process, as far as it is simulated. */
export class HostedTable implements Descriptors {
  /** By identity. */
  readonly #buffers = new Map<string, HostedBuffer>();
  /** By identity of the end that is given away. */
  readonly #pairs = new Map<string, Pair>();
  /** By number. */
  readonly #queues = new Map<number, Queue>();

  /**
   * @param real the operating system
   * @param memory of the same
   */
  constructor(
    private readonly real: Pick<
      Kernel,
      "socketPair" | "receive" | "eventFd" | "readEventFd" | "watch" | "close"
    >,
    private readonly memory: MemoryFiles,
  ) {}

  /** Files that stand for something. */
  get size(): number {
    return this.#buffers.size + this.#pairs.size + this.#queues.size;
  }

  install(file: SimFile): number {
    take(file);
    if (file instanceof SimDmaBuf) return this.#installBuffer(file);
    if (file instanceof SimEventQueue) return this.#installQueue(file);
    const [given, kept] = this.real.socketPair(`simulated ${file.kind}`);
    this.#pairs.set(this.#identity(given), { file, kept });
    return given.release();
  }

  #installBuffer(file: SimDmaBuf): number {
    const buffer = new HostedBuffer(this.memory, file, `simulated dma-buf: ${file.source}`);
    this.#buffers.set(buffer.identity, buffer);
    return buffer.descriptor();
  }

  #installQueue(file: SimEventQueue<unknown>): number {
    const kept = this.real.eventFd(`simulated ${file.kind}`);
    file.onReadable = () => this.memory.signal(kept);
    const number = this.memory.duplicate(kept).release();
    this.#queues.set(number, { file, kept });
    return number;
  }

  get(number: number): SimFile | undefined {
    const queue = this.#queues.get(number);
    if (queue !== undefined) return queue.file;
    const identity = this.#identityOf(number);
    if (identity === undefined) return undefined;
    return this.#buffers.get(identity)?.buffer ?? this.#pairs.get(identity)?.file ?? OTHER;
  }

  /** @returns absent: nothing is open there */
  #identityOf(number: number): string | undefined {
    try {
      return this.#identity(new Fd(number, `descriptor ${number}`));
    } catch (error) {
      if (error instanceof KernelError && error.errnoName === "EBADF") return undefined;
      throw error;
    }
  }

  /** @returns what stands for a buffer; absent: the descriptor is of no buffer of this simulation */
  buffer(fd: Fd): HostedBuffer | undefined {
    return this.#buffers.get(this.#identity(fd));
  }

  /** To be called when events were taken: a queue that is empty is no longer readable. */
  drained(fd: Fd): void {
    const queue = this.#queues.get(fd.number);
    if (queue !== undefined) this.real.readEventFd(queue.kept);
  }

  close(number: number): boolean {
    return this.closeFd(new Fd(number, `descriptor ${number}`));
  }

  /** Closes a descriptor, also one that is none of the simulation's. */
  closeFd(fd: Fd): boolean {
    const { number } = fd;
    const queue = this.#queues.get(number);
    const pair = this.#pairs.get(this.#identity(fd));
    this.buffer(fd)?.numbers.delete(number);
    this.real.close(fd);
    if (queue !== undefined) this.#closeQueue(number, queue);
    if (pair !== undefined) this.#lookAt(pair);
    this.#sweep();
    return true;
  }

  /** Looks at what other processes had open, and may have closed. */
  look(): void {
    for (const pair of [...this.#pairs.values()]) {
      if (pair.watch !== undefined) this.#lookAt(pair);
    }
    this.#sweep();
  }

  /** Closes what others have of this simulation still: it ends. */
  dispose(): void {
    for (const pair of [...this.#pairs.values()]) this.#retire(pair);
    for (const buffer of [...this.#buffers.values()]) this.#retireBuffer(buffer);
  }

  #closeQueue(number: number, { file, kept }: Queue): void {
    this.#queues.delete(number);
    this.real.close(kept);
    drop(file);
  }

  /** What another process has is looked at again when it lets go. */
  #lookAt(pair: Pair): void {
    if (!this.#isLastClosed(pair)) {
      pair.watch ??= this.real.watch(pair.kept, () => this.#lookAt(pair));
      return;
    }
    this.#retire(pair);
    this.#sweep();
  }

  /** Nothing is ever sent on a pair but by somebody who took it for something else. */
  #isLastClosed({ kept }: Pair): boolean {
    for (;;) {
      const packet = this.real.receive(kept);
      if (packet === "end") return true;
      if (packet === "empty") return false;
      for (const fd of packet.fds) this.real.close(fd);
      if (packet.pidfd !== undefined) this.real.close(packet.pidfd);
    }
  }

  #retire(pair: Pair): void {
    pair.watch?.stop();
    for (const [identity, other] of this.#pairs) {
      if (other === pair) this.#pairs.delete(identity);
    }
    this.real.close(pair.kept);
    drop(pair.file);
  }

  /** Nobody tells when others let go of a buffer. Until they have, it is known what it is: dead, perhaps. */
  #sweep(): void {
    for (const buffer of [...this.#buffers.values()]) {
      if (buffer.numbers.size === 0 && !buffer.heldByOthers) this.#retireBuffer(buffer);
    }
  }

  #retireBuffer(buffer: HostedBuffer): void {
    this.#buffers.delete(buffer.identity);
    this.real.close(buffer.giveUp());
    drop(buffer.buffer);
  }

  #identity(fd: Fd): string {
    return this.memory.identity(fd).text;
  }
}
