/**
 * What each errno of each call means, as data: for refusals at run time, and for people who ask.
 *
 * The conditions are those of drivers/vfio/vfio_main.c, device_cdev.c, pci/vfio_pci_core.c,
 * pci/vfio_pci_dmabuf.c and drivers/iommu/iommufd of Linux 7.3, less those that the engine has ruled
 * out before it makes the call.
 *
 * @module
 */

/** Causes by call (or by the path that is opened), then by the errno's name. */
export const CAUSES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  openNode: {
    ENOENT: "the node is not there; is the function still bound to vfio-pci?",
    EACCES: "this account may not open the node; give it to the account by a udev rule",
    EPERM: "the device has no IOMMU, and opening it without one needs CAP_SYS_RAWIO",
    ENODEV: "the device is going away",
  },
  VFIO_DEVICE_BIND_IOMMUFD: {
    EINVAL: "the device is already open in another process (or its IOMMU is not cache-coherent)",
    EBUSY: "its IOMMU group is open through the group node, or attached to another domain",
    EPERM:
      "the DMA ownership of its IOMMU group is taken: a native driver is bound to a member, another iommufd holds it, or interrupts are not isolated",
    EACCES:
      "it asks for a VF token, for its PF is bound to vfio-pci, and got none or a wrong one (--vf-token-file)",
    EAGAIN: "the device was locked for a reset or an unbind; try again",
    ENODEV: "the device is going away",
  },
  VFIO_DEVICE_FEATURE_DMA_BUF: {
    ENOTTY: "this kernel has no VFIO_PCI_DMABUF (Linux 6.19 or later, with PCI_P2PDMA)",
    EOPNOTSUPP: "the VFIO driver bound to the device cannot export; bind vfio-pci",
    ENODEV: "the BAR could not be claimed, is not implemented, or the device is going away",
    EINVAL:
      "the BAR cannot take part in peer-to-peer DMA, or a range is not page aligned inside it",
    EOVERFLOW: "a range runs past the end of the address space",
    EIO: "the device could not be woken",
    EMFILE: "this process may open no more files (RLIMIT_NOFILE)",
    ENFILE: "this host may open no more files",
    ENOMEM: "no memory",
  },
  VFIO_DEVICE_RESET: {
    EINVAL: "the device has no function reset that works",
    EAGAIN: "the device is locked by an unbind or another reset; try again",
  },
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: {
    ENODEV: "neither its slot nor its bus can be reset",
  },
  VFIO_DEVICE_PCI_HOT_RESET: {
    EINVAL:
      "a function that would be reset too is not owned by this process, or bound to no VFIO driver",
    EBUSY: "a function that would be reset too is in use at this moment; try again",
    ENODEV: "neither its slot nor its bus can be reset",
    EAGAIN: "the bus is locked by an unbind or another reset; try again",
  },
  VFIO_DEVICE_SET_IRQS: {
    ENOTTY: "the device cannot signal this event",
    EINVAL: "the device has no such interrupt",
  },
  IOMMU_IOAS_MAP_FILE: {
    ENODEV: "the buffer is revoked",
    EOPNOTSUPP: "iommufd takes dma-bufs of exactly one range, and only those of vfio-pci",
    EEXIST: "the IOVA range is in use",
    ENOSPC: "no IOVA range is free",
    ENOENT: "there is no such IOAS in the iommufd",
    EINVAL: "the IOVA is misaligned or in a reserved range",
  },
  fanotify_init: {
    EPERM: "a gate before resets needs CAP_SYS_ADMIN",
    ENOSYS: "this kernel has no fanotify (CONFIG_FANOTIFY)",
    EMFILE: "there are as many gates as this account may have (fs.fanotify.max_user_groups)",
  },
  fanotify_mark: {
    EINVAL:
      "this kernel has no permission events (CONFIG_FANOTIFY_ACCESS_PERMISSIONS), or the file can have none",
    EACCES: "this account may not open the file",
  },
  "/sys/kernel/tracing/kprobe_events": {
    ENOENT: "this kernel has no kprobes or no tracefs, or its vfio-pci has no such routine",
    EACCES: "probes in the kernel are root's",
    EPERM: "probes in the kernel are root's, and not to be had where the kernel is locked down",
  },
  mkdir: {
    EACCES: "tracing the kernel is root's",
    ENOENT: "tracefs is not mounted at /sys/kernel/tracing",
  },
  "/dev/iommu": {
    ENOENT: "this kernel has no iommufd (CONFIG_IOMMUFD)",
    EACCES: "this account may not open it; give it to the account by a udev rule",
  },
};
