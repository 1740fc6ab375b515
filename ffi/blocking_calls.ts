/**
 * The calls that a lane makes, by the names of the `Lane` port.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { configSpace } from "./config_space.ts";
import { closeDescriptor, openPath } from "./descriptors.ts";
import { deviceAddress } from "./device_address.ts";
import { hotReset, hotResetInfo } from "./hot_reset.ts";
import {
  ioasAlloc,
  ioasCopy,
  ioasMapFile,
  ioasUnmap,
  iommuDestroy,
  isIommufd,
  setCompatibleIoas,
} from "./iommufd.ts";
import { fileTarget, receiveInLane } from "./lane_packet.ts";
import { C } from "./layouts.ts";
import { enterLowPower, exitLowPower } from "./low_power.ts";
import {
  armInterrupt,
  attachIoas,
  bindIommufd,
  deviceInfo,
  exportDmaBuf,
  probeDmaBuf,
  readRegion,
  regionInfo,
  resetDevice,
  writeRegion,
} from "./vfio.ts";
import { groupDevice, groupStatus, setContainer, setType1Iommu } from "./vfio_group.ts";

/** Every call that can wait. All are synchronous, and block the thread that makes them. */
export const BLOCKING_CALLS = {
  openNode: (path: string): Fd => openPath(path, C.O_RDWR, path, "openNode"),
  openShared: (path: string): Fd => openPath(path, C.O_RDWR),
  receive: receiveInLane,
  fileTarget,
  deviceAddress,
  configSpace,
  close: closeDescriptor,
  bindIommufd,
  deviceInfo,
  regionInfo,
  readRegion,
  writeRegion,
  probeDmaBuf,
  exportDmaBuf,
  resetDevice,
  armInterrupt,
  attachIoas,
  groupStatus,
  setContainer,
  setType1Iommu,
  groupDevice,
  hotResetInfo,
  hotReset,
  enterLowPower,
  exitLowPower,
  ioasAlloc,
  setCompatibleIoas,
  iommuDestroy,
  isIommufd,
  ioasMapFile,
  ioasCopy,
  ioasUnmap,
} as const;

/** Name of a call. */
export type BlockingCall = keyof typeof BLOCKING_CALLS;

/** What a call takes. */
export type Arguments<K extends BlockingCall> = Parameters<(typeof BLOCKING_CALLS)[K]>;

/** What a call answers. */
export type Answer<K extends BlockingCall> = ReturnType<(typeof BLOCKING_CALLS)[K]>;

/** Calls whose descriptors stay in the lane's own table; those of the others go to the process. */
export const KEEPS_DESCRIPTORS: ReadonlySet<BlockingCall> = new Set([
  "openNode",
  "groupDevice",
  "receive",
]);
