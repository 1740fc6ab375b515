/**
 * Which PCI functions of a host could do an importer driver's DMA.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";

const VIRTIO = "virtio-gpu";
const VIRTIO_VENDOR = "1af4";
/** Of the many kinds of virtio devices, the GPU: 1040 and its type, 16. It has no transitional id. */
const VIRTIO_GPU = "1050";

/**
 * The functions of a host that are bound to a driver of an importer.
 *
 * @param host its snapshot
 * @param driver as a policy names it
 * @returns them, in the snapshot's order
 */
export function functionsOfDriver(
  host: HostSnapshot,
  driver: string,
): readonly SnapshotFunction[] {
  return host.functions.filter((entry) => isOfDriver(entry, driver));
}

/**
 * Whether a function could do the DMA of an importer's driver.
 *
 * @param entry the function
 * @param driver as a policy names it
 */
export function isOfDriver(entry: SnapshotFunction, driver: string): boolean {
  const drivers = IMPORTER_DRIVERS.get(driver)?.functionDrivers ?? [];
  return drivers.some((wanted) => isDriver(wanted, entry.driver)) &&
    (driver !== VIRTIO || isVirtioGpu(entry));
}

/**
 * What a driver's functions are, in words: `no function of the host is` them.
 *
 * @param driver as a policy names it
 */
export function functionWords(driver: string): string {
  const drivers = IMPORTER_DRIVERS.get(driver)?.functionDrivers ?? [];
  const bound = `bound to ${drivers.join(" or ")}`;
  return driver === VIRTIO ? `a virtio GPU (${VIRTIO_VENDOR}:${VIRTIO_GPU}) ${bound}` : bound;
}

function isVirtioGpu({ vendor, device }: SnapshotFunction): boolean {
  return vendor === VIRTIO_VENDOR && device === VIRTIO_GPU;
}

/** Variants of vfio-pci are called after their devices (`mlx5_vfio_pci`). */
function isDriver(wanted: string, driver: string | undefined): boolean {
  if (driver === undefined) return false;
  return driver === wanted || (wanted === "vfio-pci" && /vfio[-_]pci$/.test(driver));
}
