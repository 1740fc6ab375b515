/**
 * dma-bufs of VFIO devices, by the rules of drivers/vfio/pci/vfio_pci_dmabuf.c (Linux 7.3).
 *
 * @module
 */
import type { DmaRange } from "../engine/kernel.ts";
import { refusal } from "./errno.ts";
import type { SimFile } from "./file_table.ts";
import type { Steps } from "./memory_lock.ts";

/** An import of a buffer, as the exporter sees it. */
export interface SimImport {
  /** Told to unmap. @returns resolves when it has; absent: it has at once */
  invalidate(): Promise<void> | undefined;
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
   * Puts a fence on it (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`): a revoke waits for it.
   *
   * @returns signals the fence
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
   * Importers are told to unmap, also when a revoke is undone, and fences are waited for; a revoke then
   * waits until all have unmapped. It does so without a limit, and with the buffer revoked already; one
   * that is undone has it revoked still. What is as it should be already is left alone.
   */
  *move(revoked: boolean): Steps {
    if (revoked === this.#revoked) return;
    if (revoked) this.#moved(true);
    const lingering = [...this.#imports].flatMap((each) => each.invalidate() ?? []);
    yield* all(this.#holds);
    if (revoked) yield* all(lingering);
    else this.#moved(false);
  }

  #moved(revoked: boolean): void {
    this.#revoked = revoked;
    this.onMove();
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

/** Waits for all that there are now. */
function* all(waits: Iterable<Promise<void>>): Steps {
  for (const each of [...waits]) yield each;
}
