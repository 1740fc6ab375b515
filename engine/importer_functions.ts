/**
 * Which PCI functions of a host could do an importer driver's DMA.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";

/** Of the many kinds of virtio devices, the GPU: 1040 and its type, 16. */
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
  const drivers = IMPORTER_DRIVERS.get(driver)?.functionDrivers ?? [];
  return host.functions.filter((entry) =>
    entry.driver !== undefined && drivers.includes(entry.driver) &&
    (driver !== "virtio-gpu" || entry.device === VIRTIO_GPU)
  );
}
