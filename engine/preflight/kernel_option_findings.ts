/**
 * Options that the kernel was built without. A release says when something came, not whether this
 * kernel has it.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";

/** An option, and what it is for. */
export interface Need {
  readonly option: string;
  readonly for: string;
  /** By some of the grants. */
  readonly needed: (grants: readonly PlannedGrant[]) => boolean;
}

const ALWAYS = () => true;

/** What exporting takes (`drivers/vfio/pci/Kconfig`, `drivers/iommu/iommufd/Kconfig`). */
const NEEDS: readonly Need[] = [
  { option: "CONFIG_VFIO_PCI", for: "exports of PCI devices", needed: ALWAYS },
  { option: "CONFIG_PCI_P2PDMA", for: "VFIO_PCI_DMABUF", needed: ALWAYS },
  { option: "CONFIG_DMA_SHARED_BUFFER", for: "dma-bufs", needed: ALWAYS },
  { option: "CONFIG_VFIO_PCI_DMABUF", for: "VFIO_DEVICE_FEATURE_DMA_BUF", needed: ALWAYS },
  {
    option: "CONFIG_IOMMUFD",
    for: "importers of driver iommufd",
    needed: (grants) => grants.some(({ importer }) => importer.driver.value === "iommufd"),
  },
];

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
    .map(({ option, for: what }) =>
      hostFinding("BG2033", undefined, `Linux ${release} was built without ${option}, for ${what}`)
    );
}

/**
 * @param grants that would be made
 * @returns the options without which they cannot be
 */
export function neededOptions(grants: readonly PlannedGrant[]): readonly Need[] {
  return NEEDS.filter(({ needed }) => needed(grants));
}
