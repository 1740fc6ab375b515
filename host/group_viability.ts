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
  /** Absent: which it is in could not be read. */
  readonly group?: number;
  /**
   * Functions whose drivers hold the group, the one that is asked about among them if its driver
   * does. There is one list for all functions of a group.
   */
  readonly holders: readonly SnapshotFunction[];
  /** How many of them are others; none: see {@linkcode isViable}. */
  readonly spoilerCount: number;
  /**
   * Addresses of functions that may be in it and whose drivers may hold it: one of the two, or all of
   * the function, could not be read.
   */
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
  /** In any group, as far as is known, with a driver that holds it. */
  readonly #anywhere: readonly string[];

  /** @param host its snapshot; devices that are not PCI's are not in it, and so not seen */
  constructor(host: HostSnapshot) {
    const mayHold = host.functions.filter((entry) => holds(entry) !== false);
    const grouped = mayHold.filter((entry) => !isUnread(entry, "iommuGroup"));
    const leftOut = (host.leftOut ?? []).filter(({ iommuGroupIs: group }) => group === undefined);
    this.#anywhere = addressesOf([
      ...mayHold.filter((entry) => isUnread(entry, "iommuGroup")),
      ...leftOut.filter(({ iommuGroup }) => iommuGroup === undefined),
    ]);
    const unsure = [
      ...grouped.filter((entry) => holds(entry) === undefined),
      ...leftOut.filter(({ iommuGroup }) => iommuGroup !== undefined),
    ];
    this.#unknown = new Map(
      [...Map.groupBy(unsure, ({ iommuGroup }) => iommuGroup)]
        .map(([group, all]) => [group, addressesOf(all)]),
    );
    const holders = grouped.filter((entry) => holds(entry) === true);
    this.#holders = Map.groupBy(holders, ({ iommuGroup }) => iommuGroup);
  }

  /**
   * Judges the group of a function that is to be opened by VFIO, in constant time.
   *
   * @param entry of this host
   * @returns who else holds its group; undefined if it has none
   */
  viability(entry: SnapshotFunction): GroupViability | undefined {
    const { iommuGroup: group, address } = entry;
    if (group === undefined) {
      if (!isUnread(entry, "iommuGroup")) return undefined;
      return { holders: [], spoilerCount: 0, unknown: [address], spoilers: () => [] };
    }
    const holders = this.#holders.get(group) ?? [];
    const own = holds(entry) === true ? 1 : 0;
    return {
      group,
      holders,
      spoilerCount: Math.max(0, holders.length - own),
      unknown: this.#unknownOf(group, address),
      spoilers: (most = Infinity) =>
        holders.slice(0, most + own).filter((other) => other.address !== address).slice(0, most),
    };
  }

  #unknownOf(group: number, address: string): readonly string[] {
    const unknown = this.#unknown.get(group);
    if (unknown === undefined) return this.#anywhere;
    return [...new Set([...unknown, ...this.#anywhere])].filter((other) => other !== address);
  }
}

/** Undefined: its driver could not be read. */
function holds(entry: SnapshotFunction): boolean | undefined {
  const { driver } = entry;
  if (driver === undefined) return isUnread(entry, "driver") ? undefined : false;
  return !DMA_FREE_DRIVERS.has(driver) && !isVfioDriver(driver);
}

/** Absent because it is not known, and not because there is none. */
function isUnread(entry: SnapshotFunction, wanted: "driver" | "iommuGroup"): boolean {
  return entry[wanted] === undefined && entry.unreadable.some(({ field }) => field === wanted);
}

function addressesOf(all: readonly { readonly address: string }[]): readonly string[] {
  return all.map(({ address }) => address);
}
