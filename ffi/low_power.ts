/**
 * Low power (include/uapi/linux/vfio.h): a way to hold all buffers of a device revoked that virtual
 * functions have too.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { ioctl } from "./ioctl.ts";
import { C, STRUCTS } from "./layouts.ts";
import { encode } from "./struct.ts";

/**
 * `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: the device may be suspended when nobody uses it; its
 * buffers are revoked, and its mappings gone, until {@linkcode exitLowPower}. A wake-up by a call in
 * between changes nothing about that. A reset, or memory decode switched on, validates the buffers
 * all the same.
 *
 * @param device an opened device
 * @throws {KernelError} EINVAL where it is in low power already (it is revoked all the same); ENOTTY
 * where the kernel or driver has no such feature
 */
export function enterLowPower(device: Fd): void {
  set(device, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY");
}

/**
 * `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`: the buffers are valid again, where memory decode is on.
 *
 * @param device an opened device
 * @throws {KernelError}
 */
export function exitLowPower(device: Fd): void {
  set(device, "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT");
}

function set(
  device: Fd,
  feature: `VFIO_DEVICE_FEATURE_LOW_POWER_${"ENTRY" | "EXIT"}`,
): void {
  const layout = STRUCTS.vfio_device_feature;
  const flags = C.VFIO_DEVICE_FEATURE_SET | C[feature];
  ioctl(device, "VFIO_DEVICE_FEATURE", encode(layout, { argsz: layout.size, flags }), feature);
}
