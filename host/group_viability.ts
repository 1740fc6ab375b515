/**
 * Whether VFIO can own an IOMMU group. It is owned as a whole or not at all: a driver that does DMA
 * through the kernel's own mappings holds the group as long as it is bound to one of its functions
 * (`iommu_device_use_default_domain`, drivers/iommu/iommu.c), and opening a device of it by VFIO then
 * answers EPERM.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "./snapshot.ts";

/** What else is in the group of a function that VFIO is to own. */
export interface GroupViability {
  readonly group: number;
  /**
   * Functions whose drivers hold the group, the one that is asked about among them if its driver
   * does. There is one list for all functions of a group.
   */
  readonly holders: readonly SnapshotFunction[];
  /** How many of them are others; none: see {@linkcode isViable}. */
  readonly spoilerCount: number;
  /** Addresses of functions in it that could not be read; any of them may hold it. */
  readonly unknown: readonly string[];
  /**
   * @param most how many are wanted
   * @returns the first of the others
   */
  readonly spoilers: (most?: number) => readonly SnapshotFunction[];
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
export function isViable(
  { spoilerCount, unknown }: Pick<GroupViability, "spoilerCount" | "unknown">,
): boolean | undefined {
  if (spoilerCount > 0) return false;
  return unknown.length > 0 ? undefined : true;
}

/** The IOMMU groups of a host. Making it is linear in the number of functions, judging is not. */
export class IommuGroups {
  readonly #holders: ReadonlyMap<number | undefined, readonly SnapshotFunction[]>;
  readonly #unknown: ReadonlyMap<number | undefined, readonly string[]>;

  /** @param host its snapshot; devices that are not PCI's are not in it, and so not seen */
  constructor(host: HostSnapshot) {
    const holders = host.functions.filter(({ driver }) =>
      driver !== undefined && holdsGroup(driver)
    );
    const unknown = Map.groupBy(host.leftOut ?? [], ({ iommuGroup }) => iommuGroup);
    this.#unknown = new Map(
      [...unknown].map(([group, all]) => [group, all.map(({ address }) => address)]),
    );
    this.#holders = Map.groupBy(holders, ({ iommuGroup }) => iommuGroup);
  }

  /**
   * Judges the group of a function that is to be opened by VFIO, in constant time.
   *
   * @param entry of this host
   * @returns who else holds its group; undefined if it has none
   */
  viability(entry: SnapshotFunction): GroupViability | undefined {
    const { iommuGroup: group, driver } = entry;
    if (group === undefined) return undefined;
    const holders = this.#holders.get(group) ?? [];
    const own = driver !== undefined && holdsGroup(driver) ? 1 : 0;
    return {
      group,
      holders,
      spoilerCount: Math.max(0, holders.length - own),
      unknown: this.#unknown.get(group) ?? [],
      spoilers: (most = Infinity) =>
        holders.slice(0, most + own).filter(({ address }) => address !== entry.address)
          .slice(0, most),
    };
  }
}

function holdsGroup(driver: string): boolean {
  return !DMA_FREE_DRIVERS.has(driver) && !isVfioDriver(driver);
}
