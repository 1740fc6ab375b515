/**
 * Options that the kernel was built without. A release says when something came, not whether this
 * kernel has it.
 *
 * @module
 */
import type { KernelOption } from "../../host/kernel_options.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Span } from "../../policy/position.ts";
import type { Route } from "../group_access.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";

/** An option, and what it is for. */
export interface Need {
  readonly option: KernelOption;
  readonly for: string;
  /** The rule that needs it; absent: all do. */
  readonly at?: Span;
}

/** What exporting takes (`drivers/vfio/pci/Kconfig`). */
const ALWAYS: readonly Need[] = [
  { option: "CONFIG_VFIO_PCI", for: "exports of PCI devices" },
  { option: "CONFIG_PCI_P2PDMA", for: "VFIO_PCI_DMABUF" },
  { option: "CONFIG_DMA_SHARED_BUFFER", for: "dma-bufs" },
  { option: "CONFIG_VFIO_PCI_DMABUF", for: "VFIO_DEVICE_FEATURE_DMA_BUF" },
];

/** What opening takes. */
const BY_ROUTE: Readonly<Record<Route, Need>> = {
  cdev: { option: "CONFIG_VFIO_DEVICE_CDEV", for: "devices that are opened by character device" },
  group: { option: "CONFIG_VFIO_GROUP", for: "devices that are opened by their IOMMU group" },
};

const MEMORY_REGIONS: Need = {
  option: "CONFIG_INFINIBAND_USER_ACCESS",
  for: "memory regions of programs (uverbs)",
};

/** What attaching takes (`drivers/infiniband/Kconfig`, `drivers/infiniband/hw/mlx5/mr.c`). */
const BY_IMPORTER: Readonly<Record<string, readonly Need[]>> = {
  iommufd: [{ option: "CONFIG_IOMMUFD", for: "importers of driver iommufd" }],
  mlx5: [
    MEMORY_REGIONS,
    {
      option: "CONFIG_INFINIBAND_ON_DEMAND_PAGING",
      for: "the only memory regions by which mlx5 attaches (else EOPNOTSUPP)",
    },
  ],
  irdma: [MEMORY_REGIONS],
};

/**
 * @param host what is there
 * @param grants that would be made
 * @returns options that are off; none if the configuration is not known
 */
export function kernelOptionFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): readonly Finding[] {
  const { config, release } = host.kernel;
  if (config === undefined) return [];
  return neededOptions(grants).filter(({ option }) => config[option] === "n")
    .map(({ option, for: what, at }) =>
      hostFinding("BG2033", at, `Linux ${release} was built without ${option}, for ${what}`)
    );
}

/**
 * @param grants that would be made
 * @returns the options without which they cannot be
 */
export function neededOptions(grants: readonly PlannedGrant[]): readonly Need[] {
  const own = grants.filter(({ device }) => device.owner === undefined);
  const routes = new Set(own.map(({ device }) => device.route));
  const importers = new Map(grants.map(({ importer, importerName }) => [importerName, importer]));
  return [
    ...ALWAYS,
    ...[...routes].map((route) => BY_ROUTE[route]),
    ...[...importers.values()].flatMap(({ driver: { value, at } }) =>
      (BY_IMPORTER[value] ?? []).map((need) => ({ ...need, at }))
    ),
  ];
}
