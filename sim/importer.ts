/**
 * Importers besides iommufd: drivers that attach to a dma-buf and map it for their device, by what
 * each is to the exporter (`vfio_pci_dma_buf_attach`, Linux 7.3).
 *
 * @module
 */
import type { SimDmaBuf, SimImport } from "./dma_buf.ts";
import { refusal } from "./errno.ts";
import { drop, take } from "./file_table.ts";

/** What a driver is to the exporter. */
export interface SimImporterKind {
  /** It attaches dynamically, and allows peer-to-peer. */
  readonly dynamic: boolean;
  /** It has an `invalidate_mappings`. */
  readonly invalidates: boolean;
  /** It maps again by itself, when it is used next. */
  readonly comesBack: boolean;
  /** It unmaps when it is told to; otherwise when it is used next, or goes. */
  readonly letsGo: boolean;
}

const RESUMABLE = { dynamic: true, invalidates: true, comesBack: true, letsGo: true } as const;
const ONE_SHOT = { ...RESUMABLE, comesBack: false } as const;
const PINNED = { ...ONE_SHOT, invalidates: false } as const;
const STATIC = { ...PINNED, dynamic: false } as const;

/** Drivers by the name that policies use. */
export const SIM_IMPORTERS = {
  mlx5: RESUMABLE,
  amdgpu: RESUMABLE,
  xe: { ...RESUMABLE, letsGo: false },
  irdma: ONE_SHOT,
  "virtio-gpu": ONE_SHOT,
  efa: PINNED,
  bnxt_re: PINNED,
  mana: PINNED,
  ionic: PINNED,
  i915: STATIC,
  nouveau: STATIC,
} as const satisfies Readonly<Record<string, SimImporterKind>>;

/** A driver that a simulated host can have. */
export type SimImporterDriver = keyof typeof SIM_IMPORTERS;

/** An attachment with its mapping. */
export class SimImporter implements SimImport {
  readonly #kind: SimImporterKind;
  #mapped = true;
  #left = false;
  /** Told to unmap, and has not yet. */
  #lingering: PromiseWithResolvers<void> | undefined;

  /**
   * Attaches and maps.
   *
   * @param driver whose device does the DMA
   * @param buffer what it imports; it keeps it
   * @param reachable whether the kernel lets that device reach the exporter's (P2PDMA)
   * @throws {KernelError} EOPNOTSUPP: the exporter takes no such importer; ENODEV: revoked; EINVAL: not
   * reachable
   */
  constructor(driver: SimImporterDriver, private readonly buffer: SimDmaBuf, reachable = true) {
    this.#kind = SIM_IMPORTERS[driver];
    if (!this.#kind.dynamic) throw refusal("dma_buf_attach", "EOPNOTSUPP", driver);
    if (buffer.revoked) throw refusal("dma_buf_attach", "ENODEV", driver);
    if (!this.#kind.invalidates) throw refusal("dma_buf_attach", "EOPNOTSUPP", driver);
    if (!reachable) throw refusal("dma_buf_map_attachment", "EINVAL", driver);
    take(buffer);
    buffer.attach(this);
  }

  invalidate(): Promise<void> | undefined {
    if (this.#mapped && !this.#kind.letsGo) this.#lingering ??= Promise.withResolvers();
    this.#mapped = false;
    return this.#lingering?.promise;
  }

  /** It is used: a page fault, a submission. @returns whether DMA lands */
  lands(): boolean {
    this.#letGo();
    const again = this.#kind.comesBack && !this.#left && !this.buffer.revoked;
    this.#mapped ||= again;
    return this.#mapped;
  }

  #letGo(): void {
    this.#lingering?.resolve();
    this.#lingering = undefined;
  }

  /** Its user gives the memory up, or has ended. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#mapped = false;
    this.#letGo();
    this.buffer.detach(this);
    drop(this.buffer);
  }
}
