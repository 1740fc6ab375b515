/**
 * The options of a kernel that decisions need.
 *
 * @module
 */

/** The options that are kept; the rest is nobody's affair. */
export const KERNEL_OPTIONS = [
  // Opening devices
  "CONFIG_VFIO",
  "CONFIG_VFIO_CONTAINER",
  "CONFIG_VFIO_DEVICE_CDEV",
  "CONFIG_VFIO_GROUP",
  "CONFIG_VFIO_NOIOMMU",
  "CONFIG_VFIO_PCI",
  // Exporting from them
  "CONFIG_DMABUF_MOVE_NOTIFY",
  "CONFIG_DMA_SHARED_BUFFER",
  "CONFIG_PCI_P2PDMA",
  "CONFIG_VFIO_PCI_DMABUF",
  // Importing
  "CONFIG_INFINIBAND_ON_DEMAND_PAGING",
  "CONFIG_INFINIBAND_USER_ACCESS",
  "CONFIG_IOMMUFD",
  // Watching
  "CONFIG_FANOTIFY_ACCESS_PERMISSIONS",
  "CONFIG_INOTIFY_USER",
  "CONFIG_KPROBE_EVENTS",
  // What changes how long a revoke takes, or where DMA goes
  "CONFIG_IOMMU_DEFAULT_PASSTHROUGH",
  "CONFIG_PCI_IOV",
  "CONFIG_SW_SYNC",
  "CONFIG_SYNC_FILE",
] as const;

/** Name of one of them. */
export type KernelOption = typeof KERNEL_OPTIONS[number];
