/**
 * dma-bufs of VFIO devices, by the rules of drivers/vfio/pci/vfio_pci_dmabuf.c (Linux 7.3).
 *
 * @module
 */
import type { DmaRange } from "../engine/kernel.ts";
import { refusal } from "./errno.ts";
import type { SimFile } from "./file_table.ts";
import type { Steps } from "./memory_lock.ts";

/** An import of a buffer. */
export interface SimImport {
  /** Whether DMA through it lands. */
  live: boolean;
}

/** Bytes of a dma-buf's name. */
const LONGEST_NAME = 31;

/** A dma-buf. */
export class SimDmaBuf implements SimFile {
  readonly kind = "dma-buf";
  references = 0;
  name: string | undefined;
  /** Told whenever it was revoked or validated, and when it is dead for good. */
  onMove: () => void = () => {};
  /** For people: whose memory it is. */
  source = "BAR";
  readonly size: bigint;
  readonly inode: bigint;
  #revoked: boolean;
  #dead = false;
  readonly #imports = new Set<SimImport>();
  /** What a revoke waits for. */
  readonly #holds = new Set<Promise<void>>();
  static #inodes = 1n;

  constructor(
    readonly ranges: readonly DmaRange[],
    bornRevoked: boolean,
    private readonly onRelease: (buffer: SimDmaBuf) => void,
  ) {
    this.size = ranges.reduce((sum, { length }) => sum + length, 0n);
    this.inode = SimDmaBuf.#inodes++;
    this.#revoked = bornRevoked;
  }

  get revoked(): boolean {
    return this.#revoked || this.#dead;
  }

  /** Revoked for good. */
  get dead(): boolean {
    return this.#dead;
  }

  /** `DMA_BUF_SET_NAME`. */
  setName(name: string): void {
    const bytes = new TextEncoder().encode(name).length;
    if (bytes > LONGEST_NAME) throw refusal("DMA_BUF_SET_NAME", "EINVAL", "dma-buf");
    this.name = name;
  }

  attach(by: SimImport): void {
    this.#imports.add(by);
  }

  detach(by: SimImport): void {
    this.#imports.delete(by);
  }

  /**
   * Puts a fence on it (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`), or stands for an importer that does not let
   * go: a revoke waits for it.
   *
   * @returns signals the fence, or lets go
   */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#holds.add(promise);
    return () => {
      this.#holds.delete(promise);
      resolve();
    };
  }

  /**
   * A revoke empties iommufd's areas, which do not come back when it is undone, and then waits until
   * nothing holds the buffer: without a limit, and with the buffer revoked already.
   */
  *move(revoked: boolean): Steps {
    if (revoked) { for (const each of this.#imports) each.live = false; }
    this.#revoked = revoked;
    this.onMove();
    if (revoked) { for (const hold of this.#holds) yield hold; }
  }

  /** It was revoked, and nobody can validate it any more. */
  die(): void {
    this.#dead = true;
    this.onMove();
  }

  release(): void {
    this.onRelease(this);
  }
}
