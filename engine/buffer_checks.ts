/**
 * What is made sure of after an export, and from time to time.
 *
 * @module
 */
import { RefusedError } from "./errors.ts";
import { refusedBy } from "./refusal.ts";
import type { Fd } from "./fd.ts";
import type { Liveness } from "./guarded_session.ts";
import type { DmaBufFacts, DmaRange, Kernel, Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";

/** Module name in the fdinfo of every dma-buf of a VFIO PCI device. */
export const BUFFER_EXPORTER = "vfio_pci_core";

/** Where to probe. */
export interface ProbeRequest {
  readonly iommufd: Fd;
  /** An address space that no device is attached to. */
  readonly ioas: number;
  readonly dmaBuf: Fd;
}

/**
 * Makes sure that a buffer is what was asked for.
 *
 * @throws {RefusedError} if it is not
 */
export function checkExportedBuffer(
  kernel: Kernel,
  dmaBuf: Fd,
  what: string,
  ranges: readonly DmaRange[],
): void {
  const facts = factsOf(kernel, dmaBuf, `export ${what}`);
  const size = ranges.reduce((sum, range) => sum + range.length, 0n);
  const wrong = facts.size !== size
    ? `the buffer has ${facts.size} bytes where ${size} were asked for`
    : facts.exporter !== BUFFER_EXPORTER
    ? `the buffer's exporter is ${JSON.stringify(facts.exporter)} and not ${BUFFER_EXPORTER}`
    : !facts.closeOnExec
    ? "the kernel made its descriptor inheritable"
    : undefined;
  if (wrong !== undefined) throw new RefusedError(`Cannot export ${what}: ${wrong}`);
}

/**
 * Asks the kernel whether a buffer can be imported at this instant: maps it into an address space
 * that no device is attached to, and unmaps it.
 *
 * @throws {RefusedError} if the kernel answers what it should not
 */
export async function probeBuffer(
  kernel: Kernel,
  lane: Lane,
  { iommufd, ioas, dmaBuf }: ProbeRequest,
): Promise<Liveness> {
  const { size } = factsOf(kernel, dmaBuf, `probe ${dmaBuf.what}`);
  try {
    const request = { iommufd, ioas, dmaBuf, start: 0n, length: size, writeable: true };
    const iova = await lane.ioasMapFile(request);
    await lane.ioasUnmap(iommufd, ioas, iova, size);
    return "live";
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.errnoName === "ENODEV") return "revoked";
    // The attach, which refuses revoked buffers, comes before the refusal of several ranges.
    if (error.errnoName === "EOPNOTSUPP") return "live";
    throw refusedBy(`probe ${dmaBuf.what}`, error);
  }
}

function factsOf(kernel: Kernel, dmaBuf: Fd, what: string): DmaBufFacts {
  try {
    return kernel.dmaBufFacts(dmaBuf);
  } catch (error) {
    throw refusedBy(what, error);
  }
}
