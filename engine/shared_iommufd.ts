/**
 * The iommufd that all sessions of one process share. Functions that are reset together can sit in
 * several IOMMU groups, and a hot reset is only for who owns all of them by one iommufd.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { ready } from "./refusal.ts";

/** Opened with the first device that needs it. */
export class SharedIommufd {
  #fd: Fd | undefined;

  /** @param kernel the port */
  constructor(private readonly kernel: Kernel) {}

  /** Absent: it is not open yet, or the kernel has none. */
  get fd(): Fd | undefined {
    return this.#fd;
  }

  /**
   * Opens it, unless it is open.
   *
   * @param optional whether the caller can do without, where the kernel has none
   * @throws {HostNotReadyError} with the cause
   */
  async open(optional: boolean): Promise<void> {
    if (this.#fd !== undefined) return;
    try {
      this.#fd = await ready("open /dev/iommu", () => this.kernel.openIommufd());
    } catch (error) {
      const absent = error instanceof Error && error.cause instanceof KernelError &&
        error.cause.errnoName === "ENOENT";
      if (!optional || !absent) throw error;
    }
  }

  /** Gives it back when all devices are closed. */
  close(): void {
    if (this.#fd?.open) this.kernel.close(this.#fd);
    this.#fd = undefined;
  }
}
