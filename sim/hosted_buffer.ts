/**
 * A simulated dma-buf that other processes can hold: a file in memory of the buffer's size. While the
 * buffer is revoked the file is empty, so that a read gets nothing and an access through a mapping is
 * SIGBUS; when it is valid again, so is what was in it.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { MemoryFiles, WrittenPart } from "./memory_files.ts";
import type { SimDmaBuf } from "./vfio.ts";

/** The file behind one buffer. */
export class HostedBuffer {
  readonly identity: string;
  readonly inode: bigint;
  /** Numbers of descriptors that this process has been given. */
  readonly numbers = new Set<number>();
  /** The one open file that this process has of it, whatever descriptors it has been given. */
  readonly #file: Fd;
  /** What was in it when it was revoked. */
  #kept: readonly WrittenPart[] = [];
  #empty = false;

  /**
   * @param memory where the file is made
   * @param buffer that it stands for
   * @param what whose it is
   */
  constructor(
    private readonly memory: MemoryFiles,
    readonly buffer: SimDmaBuf,
    what: string,
  ) {
    this.#file = memory.create(what, buffer.size);
    const { text, inode } = memory.identity(this.#file);
    this.identity = text;
    this.inode = inode;
    for (const part of labels(buffer)) memory.write(this.#file, part);
    buffer.onMove = () => this.#show();
    this.#show();
  }

  /** @returns a descriptor for this process, which owns it */
  descriptor(): number {
    const number = this.memory.duplicate(this.#file).release();
    this.numbers.add(number);
    return number;
  }

  /** @returns a descriptor for another process, by which it is told apart from this one's */
  forOthers(): Fd {
    return this.memory.reopen(this.#file);
  }

  /** Whether another process has it, a message carries it, or it is mapped somewhere. */
  get heldByOthers(): boolean {
    return !this.memory.isOnlyOpen(this.#file);
  }

  /** Gives the file up; the buffer goes on without. @returns this process's own descriptor of it */
  giveUp(): Fd {
    this.buffer.onMove = () => {};
    return this.#file;
  }

  #show(): void {
    const { revoked, size } = this.buffer;
    if (revoked === this.#empty) return;
    this.#empty = revoked;
    if (revoked) this.#kept = this.memory.written(this.#file);
    this.memory.resize(this.#file, revoked ? 0n : size);
    if (revoked) return;
    for (const part of this.#kept) this.memory.write(this.#file, part);
    this.#kept = [];
  }
}

/** Each slice begins with where it is from, so that who reads it sees that it is the right one. */
function labels({ source, ranges }: SimDmaBuf): readonly WrittenPart[] {
  let at = 0n;
  return ranges.map(({ offset, length }) => {
    const text = `${source}, byte 0x${offset.toString(16)} (simulated)\n`;
    const part = { offset: at, bytes: new TextEncoder().encode(text) };
    at += length;
    return part;
  });
}
