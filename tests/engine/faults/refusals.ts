/** Which calls the kernel can refuse, with what. @module */

/** include/uapi/asm-generic/errno*.h */
export const ERRNO_NUMBERS = {
  EPERM: 1,
  ESRCH: 3,
  EIO: 5,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  ECONNREFUSED: 111,
} as const;

export type FaultErrno = keyof typeof ERRNO_NUMBERS;

/** Errnos of a call of the port; those that are not here are not refused. */
const ERRNOS: Readonly<Record<string, readonly FaultErrno[]>> = {
  openLane: [],
  openNode: ["ENODEV", "EMFILE", "EBUSY"],
  openShared: ["ENODEV", "EBUSY"],
  receive: ["ENOMEM"],
  fileTarget: ["ENOMEM"],
  deviceAddress: ["EMFILE", "ENOMEM"],
  configSpace: ["ENODEV", "EIO"],
  close: ["EIO"],
  bindIommufd: ["EAGAIN", "EPERM", "EINVAL"],
  setContainer: ["EPERM", "ENODEV"],
  groupDevice: ["EAGAIN", "ENODEV", "EMFILE"],
  regionInfo: ["EINVAL", "ENODEV"],
  readRegion: ["EIO", "EBUSY"],
  writeRegion: ["EIO", "EBUSY"],
  probeDmaBuf: ["ENOTTY", "ENODEV"],
  exportDmaBuf: ["ENODEV", "EMFILE", "ENOMEM", "EINVAL"],
  resetDevice: ["EAGAIN", "EIO", "EINVAL"],
  armInterrupt: ["EINVAL", "EBUSY", "ENOMEM"],
  hotResetInfo: ["ENODEV", "ENOMEM"],
  hotReset: ["EAGAIN", "EINVAL", "EBUSY"],
  enterLowPower: ["EBUSY", "ENODEV", "ENOTTY"],
  exitLowPower: ["EBUSY", "EINVAL"],
  isIommufd: ["ENOMEM"],
  ioasAlloc: ["ENOMEM"],
  iommuDestroy: ["EBUSY"],
  ioasMapFile: ["ENOMEM", "ENODEV", "EBUSY", "ENOSPC"],
  ioasUnmap: ["EBUSY", "EINVAL", "ENOMEM"],
  openIommufd: ["EMFILE", "EPERM"],
  dmaBufFacts: ["EMFILE"],
  eventFd: ["EMFILE"],
  readEventFd: [],
  watch: ["ENOSPC", "ENOMEM"],
  socketPair: ["EMFILE"],
  connect: ["ECONNREFUSED", "EAGAIN"],
  peerPidfd: ["EMFILE", "ESRCH"],
  passPidfds: [],
  peerCredentials: [],
  send: ["ENOMEM"],
  spawn: ["EAGAIN", "EMFILE", "ENOMEM"],
  childEnd: ["ECHILD"],
  signal: ["EPERM"],
  shutdown: ["EINVAL"],
  openProcess: ["EMFILE", "ESRCH"],
  pidOf: ["EMFILE"],
  hasExited: ["ENOMEM"],
  borrow: ["EPERM", "EMFILE", "ESRCH"],
  identifyProcess: ["EMFILE"],
  openUevents: ["EMFILE"],
  openInotify: ["EMFILE"],
  addFileWatch: ["ENOSPC", "ENOMEM"],
  removeFileWatch: ["EINVAL"],
  identify: ["ENOMEM"],
};

/**
 * @param onLane whether it is a lane's: what the event loop reads is told again if it is refused, and
 *   the simulation tells once
 * @returns what the kernel can answer to a call of the port
 */
export function errnosOf(name: string, onLane: boolean): readonly FaultErrno[] {
  return name === "receive" && !onLane ? [] : ERRNOS[name] ?? [];
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
