/**
 * Rules of the kernel that no case shows, and how one could.
 *
 * @module
 */

/** A rule without a case. */
export interface NotProduced {
  readonly what: string;
  readonly why: string;
  readonly how: string;
}

/** The rules without a case. */
export const NOT_PRODUCED: readonly NotProduced[] = [
  {
    what: "EOPNOTSUPP and ENOTTY of the probe and the export",
    why: "the only driver here is vfio-pci, and the kernel has the feature",
    how: "a variant driver (mlx5, qat) with its device, or a kernel without VFIO_PCI_DMABUF",
  },
  {
    what: "EIO: the device does not resume",
    why: "QEMU's devices always do",
    how: "a device that fails in D3cold, or fault injection in the PCI core",
  },
  {
    what: "ENOENT: the exporter's module is unloading",
    why: "the laboratory's kernel has no modules",
    how: "vfio_pci_core as a module, and rmmod raced against the export",
  },
  {
    what: "ENODEV of an export whose device is being removed in its last step",
    why: "the step takes microseconds",
    how: "a breakpoint in vfio_unregister_group_dev",
  },
  {
    what: "EMFILE, ENFILE and ENOMEM of the export",
    why: "limits would hit the process that runs the cases",
    how: "a process of its own with RLIMIT_NOFILE, and fault injection of allocations",
  },
  {
    what: "AER, DPC and EEH recovery revoke nothing; the error interrupt is signalled",
    why: "the guest has no way to inject an error",
    how: "pcie_aer_inject_error on QEMU's monitor, or CONFIG_PCIEAER_INJECT",
  },
  {
    what: "AF function level reset by config write bounces",
    why: "none of the devices has the AF capability",
    how: "a QEMU device with it",
  },
  {
    what: "System suspend",
    why: "the laboratory's kernel does not suspend",
    how: "CONFIG_SUSPEND and rtcwake, with a clock in the machine",
  },
  {
    what: "Hot-unplug and sysfs remove revoke nothing until the close",
    why: "the device would be missing for the cases after",
    how: "a case with a boot of its own; unbind, which takes the same way, is shown",
  },
  {
    what: "What the simulation says of RDMA, GPU, virtio-gpu and static importers, on a kernel",
    why: "QEMU emulates none that attaches with peer-to-peer",
    how: "hardware; a static importer by a module that calls dma_buf_attach",
  },
  {
    what: "EINVAL of a P2PDMA topology that is not supported",
    why: "iommufd does not ask for it",
    how: "an importer that maps attachments, as RDMA does",
  },
  {
    what: "No-IOMMU: EPERM without CAP_SYS_RAWIO, IOAS_NOIOMMU_GET_PA",
    why: "the machine has an IOMMU, and the kernel no CONFIG_VFIO_NOIOMMU",
    how: "a second kernel and a machine without intel-iommu",
  },
  {
    what:
      "EPERM of a group with a native driver or unsafe interrupts, EBUSY of a non-default domain",
    why: "the functions that share a group are all on vfio-pci",
    how: "the pair with one function on nvme; interrupt remapping off",
  },
  {
    what: "EAGAIN of an open whose reset finds the device locked, EBUSY of a hot reset",
    why: "they are races",
    how: "breakpoints, or a device whose reset takes seconds",
  },
  {
    what: "ENOSPC of a mapping without a free IOVA",
    why: "2^39 bytes of IOVAs take too many mappings",
    how: "IOMMU_IOAS_ALLOW_IOVAS, which the port does not offer",
  },
  {
    what: "D3hot together with low power",
    why: "a device in low power is suspended, and comes back in D0, whenever the kernel gets to it",
    how: "not at all: what is seen depends on when",
  },
  {
    what: "Bridge resets by config writes, link-level recovery",
    why: "they are not seen by VFIO: reset_subordinate, which is shown, stands for them",
    how: "setpci on the bridge",
  },
];
