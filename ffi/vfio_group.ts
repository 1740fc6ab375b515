/**
 * VFIO's group route (include/uapi/linux/vfio.h): `/dev/vfio/G` and what its DMA goes through, a
 * container (`/dev/vfio/vfio`) or an iommufd. Older and distributions' kernels have no other.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { GroupStatus } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { ioctl, ioctlValue } from "./ioctl.ts";
import { C, STRUCTS } from "./layouts.ts";
import { encode, getNumber } from "./struct.ts";
import { checkedVfToken } from "./vf_token.ts";

/**
 * `VFIO_GROUP_GET_STATUS`.
 *
 * @param group an open `/dev/vfio/G`
 * @returns viable: every device of the group is bound to a VFIO driver, or to none
 * @throws {KernelError}
 */
export function groupStatus(group: Fd): GroupStatus {
  const layout = STRUCTS.vfio_group_status;
  const argument = encode(layout, { argsz: layout.size });
  ioctl(group, "VFIO_GROUP_GET_STATUS", argument);
  const flags = getNumber(argument, layout.fields.flags);
  return {
    viable: (flags & C.VFIO_GROUP_FLAGS_VIABLE) !== 0,
    hasContainer: (flags & C.VFIO_GROUP_FLAGS_CONTAINER_SET) !== 0,
  };
}

/**
 * `VFIO_GROUP_SET_CONTAINER`.
 *
 * @param group an open `/dev/vfio/G`
 * @param container an open `/dev/vfio/vfio`, or an iommufd
 * @throws {KernelError} EPERM where a device of the group is in use by another driver; EINVAL where
 * the group has one already
 */
export function setContainer(group: Fd, container: Fd): void {
  ioctl(group, "VFIO_GROUP_SET_CONTAINER", new Int32Array([container.number]));
}

/**
 * `VFIO_SET_IOMMU` with `VFIO_TYPE1v2_IOMMU`, after the API's version and the extension were asked
 * for.
 *
 * @param container an open `/dev/vfio/vfio` with a group in it
 * @throws {KernelError} EPROTO where it speaks another version; EOPNOTSUPP where it has no type 1
 * version 2; EINVAL where it has no group, or an IOMMU already
 */
export function setType1Iommu(container: Fd): void {
  if (ioctlValue(container, "VFIO_GET_API_VERSION", 0n) !== C.VFIO_API_VERSION) {
    throw kernelError("VFIO_GET_API_VERSION", -ERRNO.EPROTO, container.what);
  }
  if (ioctlValue(container, "VFIO_CHECK_EXTENSION", BigInt(C.VFIO_TYPE1v2_IOMMU)) === 0) {
    throw kernelError("VFIO_CHECK_EXTENSION", -ERRNO.EOPNOTSUPP, container.what);
  }
  ioctlValue(container, "VFIO_SET_IOMMU", BigInt(C.VFIO_TYPE1v2_IOMMU));
}

/**
 * `VFIO_GROUP_GET_DEVICE_FD`: opens a device. Each call opens the same device once more; it closes
 * with the last of them.
 *
 * @param group an open `/dev/vfio/G` with a container that has an IOMMU, or with an iommufd
 * @param address `0000:5e:00.0`
 * @param vfToken for a VF whose PF demands one
 * @returns the device, close-on-exec; the caller owns it
 * @throws {KernelError} ENODEV where the group has no such device; EINVAL where the group is not
 * ready, or a token is given that nobody demanded; EACCES where the token is missing or wrong
 */
export function groupDevice(group: Fd, address: string, vfToken?: string): Fd {
  const name = toCString(deviceName(address, vfToken));
  try {
    return new Fd(ioctl(group, "VFIO_GROUP_GET_DEVICE_FD", name), address);
  } finally {
    // It may hold the token.
    name.fill(0);
  }
}

function deviceName(address: string, vfToken: string | undefined): string {
  return vfToken === undefined ? address : `${address} vf_token=${checkedVfToken(vfToken)}`;
}
