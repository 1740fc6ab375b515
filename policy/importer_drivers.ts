/**
 * Which kernel drivers can import a VFIO dma-buf, by the kernel's own source. The exporter refuses
 * an importer that attaches without peer-to-peer support or without an invalidate callback
 * (`vfio_pci_dma_buf_attach`), whatever a policy says; so a rule for such a driver can never work.
 *
 * @module
 */

/** What one importer driver can do. */
export interface ImporterDriver {
  readonly name: string;
  /** Whether the kernel's exporter lets it attach. */
  readonly verdict: "accepts" | "refuses";
  /** How many ranges one buffer may have. */
  readonly ranges: "one" | "many";
  /** Whether the kernel checks the PCI topology between the two functions (P2PDMA) when mapping. */
  readonly needsP2pdmaTopology: boolean;
  /** What becomes of old mappings after a reset: gone for good, or they come back by themselves. */
  readonly afterBounce: "dead" | "resumable";
  /** Drivers that the PCI function which does the DMA is bound to; empty: none can work. */
  readonly functionDrivers: readonly string[];
  /** First kernel release in which it works with the VFIO exporter; absent: none. */
  readonly since?: string;
  /** Where the kernel tree says so. */
  readonly source: string;
  /** What a person must know. For a refusal: why. */
  readonly note: string;
}

const accepts: readonly ImporterDriver[] = [
  {
    name: "iommufd",
    verdict: "accepts",
    functionDrivers: ["vfio-pci"],
    ranges: "one",
    needsP2pdmaTopology: false,
    afterBounce: "dead",
    since: "6.19",
    source: "drivers/iommu/iommufd/pages.c",
    note:
      "takes exactly one range per buffer; after a revoke the area stays empty until mapped again",
  },
  {
    name: "mlx5",
    verdict: "accepts",
    functionDrivers: ["mlx5_core"],
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "resumable",
    since: "6.19",
    source: "drivers/infiniband/hw/mlx5/mr.c",
    note:
      "ordinary memory regions only, on hardware with on-demand paging; data-direct and DEVX are refused",
  },
  {
    name: "irdma",
    verdict: "accepts",
    functionDrivers: ["ice", "i40e", "idpf"],
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "dead",
    since: "7.1",
    source: "drivers/infiniband/hw/irdma/verbs.c",
    note: "pinned but revocable: the memory region is dead after the first revoke",
  },
  {
    name: "amdgpu",
    verdict: "accepts",
    functionDrivers: ["amdgpu"],
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "resumable",
    since: "6.19",
    source: "drivers/gpu/drm/amd/amdgpu/amdgpu_dma_buf.c",
    note: "mapped again at the next submission",
  },
  {
    name: "xe",
    verdict: "accepts",
    functionDrivers: ["xe"],
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "resumable",
    since: "6.19",
    source: "drivers/gpu/drm/xe/xe_dma_buf.c",
    note: "an idle client defers its unmap, so a revoke can wait for it without bound",
  },
  {
    name: "virtio-gpu",
    verdict: "accepts",
    functionDrivers: ["virtio-pci"],
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "dead",
    since: "6.19",
    source: "drivers/gpu/drm/virtio/virtgpu_prime.c",
    note:
      "only with blob resources and without virgl; the buffer must be imported again after a revoke",
  },
];

const PINNED = "attaches pinned and without an invalidate callback";
const STATIC = "attaches through the generic static path, which has no invalidate callback";
const NO_IMPORT = "has no dma-buf import path";

const refuses: readonly (readonly [name: string, source: string, note: string])[] = [
  ["efa", "drivers/infiniband/hw/efa/efa_verbs.c", PINNED],
  ["bnxt_re", "drivers/infiniband/hw/bnxt_re/ib_verbs.c", PINNED],
  ["mana", "drivers/infiniband/hw/mana/mr.c", PINNED],
  ["ionic", "drivers/infiniband/hw/ionic/ionic_controlpath.c", PINNED],
  ["i915", "drivers/gpu/drm/i915/gem/i915_gem_dmabuf.c", STATIC],
  ["nouveau", "drivers/gpu/drm/drm_prime.c", STATIC],
  ["io_uring", "io_uring/zcrx.c", STATIC],
  ["devmem", "net/core/devmem.c", STATIC],
  ["v4l2", "drivers/media/common/videobuf2", STATIC],
  ["iio", "drivers/iio/industrialio-buffer.c", STATIC],
  ["habanalabs", "drivers/accel/habanalabs/common/memory.c", "only exports dma-bufs"],
  ["nvme", "drivers/nvme/host", NO_IMPORT],
  ["vfio-type1", "drivers/vfio/vfio_iommu_type1.c", NO_IMPORT],
];

function refused([name, source, note]: typeof refuses[number]): ImporterDriver {
  return {
    name,
    verdict: "refuses",
    ranges: "many",
    needsP2pdmaTopology: true,
    afterBounce: "dead",
    functionDrivers: [],
    source,
    note,
  };
}

/** All drivers that Bargate knows, by the name that a policy uses. */
export const IMPORTER_DRIVERS: ReadonlyMap<string, ImporterDriver> = new Map(
  [...accepts, ...refuses.map(refused)].map((driver) => [driver.name, driver]),
);
