/** Which calls the kernel can refuse, with what. @module */

/** include/uapi/asm-generic/errno*.h */
export const ERRNO_NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ECONNREFUSED: 111,
} as const;

export type FaultErrno = keyof typeof ERRNO_NUMBERS;

/** Calls that no kernel refuses: a thread is begun, and a flag is set, without it. */
const NEVER_REFUSED: ReadonlySet<string> = new Set(["openLane", "passPidfds", "stop"]);

const ALL = Object.keys(ERRNO_NUMBERS) as FaultErrno[];

/**
 * @param name of a call of the port
 * @returns what can be answered to it: anything
 */
export function errnosOf(name: string): readonly FaultErrno[] {
  return NEVER_REFUSED.has(name) ? [] : ALL;
}

/** Calls that can be refused although all of it was done. */
const DONE_ALL_THE_SAME = new Set([
  "writeRegion",
  "resetDevice",
  "hotReset",
  "enterLowPower",
  "exitLowPower",
]);

/** @returns whether a call can be refused although it was done */
export function refusedAfter(name: string): boolean {
  return DONE_ALL_THE_SAME.has(name);
}

/** The kernel's own names, by which causes are known. */
const CALL_NAMES: Readonly<Record<string, string>> = {
  bindIommufd: "VFIO_DEVICE_BIND_IOMMUFD",
  setContainer: "VFIO_GROUP_SET_CONTAINER",
  groupDevice: "VFIO_GROUP_GET_DEVICE_FD",
  regionInfo: "VFIO_DEVICE_GET_REGION_INFO",
  readRegion: "pread",
  writeRegion: "pwrite",
  probeDmaBuf: "VFIO_DEVICE_FEATURE",
  exportDmaBuf: "VFIO_DEVICE_FEATURE_DMA_BUF",
  resetDevice: "VFIO_DEVICE_RESET",
  armInterrupt: "VFIO_DEVICE_SET_IRQS",
  hotResetInfo: "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
  hotReset: "VFIO_DEVICE_PCI_HOT_RESET",
  enterLowPower: "VFIO_DEVICE_FEATURE",
  exitLowPower: "VFIO_DEVICE_FEATURE",
  ioasAlloc: "IOMMU_IOAS_ALLOC",
  iommuDestroy: "IOMMU_DESTROY",
  ioasMapFile: "IOMMU_IOAS_MAP_FILE",
  ioasUnmap: "IOMMU_IOAS_UNMAP",
  spawn: "posix_spawn",
  borrow: "pidfd_getfd",
};

/** @returns the kernel's name of a call of the port */
export function callNameOf(name: string): string {
  return CALL_NAMES[name] ?? name;
}
