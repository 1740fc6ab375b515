/**
 * Whether VFIO can own an IOMMU group. It is owned as a whole or not at all: a driver that does DMA
 * through the kernel's own mappings holds the group as long as it is bound to one of its functions
 * (`iommu_device_use_default_domain`, drivers/iommu/iommu.c), and opening a device of it by VFIO then
 * answers EPERM.
 *
 * @module
 */
import type { HostSnapshot, LeftOutFunction, SnapshotFunction } from "./snapshot.ts";

/** What else is in the group of a function that VFIO is to own. */
export interface GroupViability {
  readonly group: number;
  /** Functions whose drivers hold the group; none: see {@linkcode isViable}. */
  readonly spoilers: readonly SnapshotFunction[];
  /**
   * Other functions bound to VFIO drivers. Who opens one of them owns the group, and all of it must
   * have one owner; whether somebody has is not in a snapshot.
   */
  readonly besides: readonly SnapshotFunction[];
  /** Addresses of functions in it that could not be read; any of them may hold it. */
  readonly unknown: readonly string[];
}

/**
 * Drivers that leave the group's DMA to others (`driver_managed_dma` in Linux 7.3.4), besides those of
 * VFIO: of bridges, and the stub.
 */
const DMA_FREE_DRIVERS: ReadonlySet<string> = new Set(["pcieport", "pci-stub"]);
/** vfio-pci, and its variants for certain devices: mlx5_vfio_pci, xe-vfio-pci, … */
const VFIO_DRIVER = /^(?:[A-Za-z0-9_-]+[-_])?vfio[-_]pci$/;

/**
 * Whether a driver is one of VFIO's for PCI devices.
 *
 * @param driver as sysfs names it
 */
export function isVfioDriver(driver: string): boolean {
  return VFIO_DRIVER.test(driver);
}

/**
 * Whether VFIO can own a group.
 *
 * @param viability as a snapshot tells it
 * @returns undefined: nothing in it is seen to hold it, and not all that is in it could be read
 */
export function isViable({ spoilers, unknown }: GroupViability): boolean | undefined {
  if (spoilers.length > 0) return false;
  return unknown.length > 0 ? undefined : true;
}

/** The IOMMU groups of a host. Making it is linear in the number of functions. */
export class IommuGroups {
  readonly #members: ReadonlyMap<number | undefined, readonly SnapshotFunction[]>;
  readonly #unknown: ReadonlyMap<number | undefined, readonly LeftOutFunction[]>;

  /** @param host its snapshot; devices that are not PCI's are not in it, and so not seen */
  constructor(host: HostSnapshot) {
    this.#unknown = Map.groupBy(host.leftOut ?? [], ({ iommuGroup }) => iommuGroup);
    this.#members = Map.groupBy(host.functions, ({ iommuGroup }) => iommuGroup);
  }

  /**
   * Judges the group of a function that is to be opened by VFIO.
   *
   * @param entry of this host
   * @returns what else is in its group; undefined if it has none
   */
  viability(entry: SnapshotFunction): GroupViability | undefined {
    if (entry.iommuGroup === undefined) return undefined;
    const others = (this.#members.get(entry.iommuGroup) ?? [])
      .filter(({ address }) => address !== entry.address);
    return {
      group: entry.iommuGroup,
      spoilers: others.filter(({ driver }) => driver !== undefined && holdsGroup(driver)),
      besides: others.filter(({ driver }) => driver !== undefined && isVfioDriver(driver)),
      unknown: (this.#unknown.get(entry.iommuGroup) ?? []).map(({ address }) => address),
    };
  }
}

function holdsGroup(driver: string): boolean {
  return !DMA_FREE_DRIVERS.has(driver) && !isVfioDriver(driver);
}
