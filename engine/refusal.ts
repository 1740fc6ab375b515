/**
 * What an errno means: the cause, in words, of a call that the kernel refused.
 *
 * The conditions are those of drivers/vfio/vfio_main.c, device_cdev.c, pci/vfio_pci_core.c,
 * pci/vfio_pci_dmabuf.c and drivers/iommu/iommufd of Linux 7.3, less those that the engine has ruled
 * out before it makes the call.
 *
 * @module
 */
import { HostNotReadyError, RefusedError } from "./errors.ts";
import { KernelError } from "./kernel_error.ts";

const CAUSES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
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
    EACCES: "it is a virtual function and asks for the token of its physical function",
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
  "/dev/iommu": {
    ENOENT: "this kernel has no iommufd (CONFIG_IOMMUFD)",
    EACCES: "this account may not open it; give it to the account by a udev rule",
  },
};

/**
 * Says what a refused call means.
 *
 * @param error the refusal
 * @returns the cause in words; where none is known, the errno with the call, so that it can be looked up
 *
 * @example
 * ```ts
 * import { KernelError } from "./kernel_error.ts";
 * import { causeOf } from "./refusal.ts";
 *
 * const error = new KernelError("VFIO_DEVICE_RESET", 22, "EINVAL", "0000:01:00.0");
 * if (!causeOf(error).includes("no function reset")) throw new Error(causeOf(error));
 * ```
 */
export function causeOf(error: KernelError): string {
  const known = CAUSES[error.call]?.[error.errnoName] ?? CAUSES[error.subject]?.[error.errnoName];
  return known ??
    `the kernel answered ${error.errnoName} to ${error.call}, for which no cause is known`;
}

/**
 * Runs a step and gives its refusal a meaning.
 *
 * @param what the step, after "Cannot": `bind 0000:01:00.0`
 * @param step what may throw {@linkcode KernelError}
 * @returns what the step returns
 * @throws {RefusedError} with the cause in words, and the kernel's answer as `cause`
 */
export async function explained<T>(what: string, step: () => Promise<T> | T): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new RefusedError(`Cannot ${what}: ${causeOf(error)} (${error.errnoName})`, {
      cause: error,
    });
  }
}

/**
 * The same for a step that fails because of the state of the host.
 *
 * @throws {HostNotReadyError}
 */
export async function ready<T>(what: string, step: () => Promise<T> | T): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new HostNotReadyError(`Cannot ${what}: ${causeOf(error)} (${error.errnoName})`, {
      cause: error,
    });
  }
}
