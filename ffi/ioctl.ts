/**
 * ioctl(2).
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { C } from "./layouts.ts";
import { checked, reissued, reissuedAfter } from "./errno.ts";
import { libc } from "./libc.ts";

/** An ioctl of the layout table. */
export type Request = Extract<
  keyof typeof C,
  | `VFIO_DEVICE_${"GET_INFO" | "GET_REGION_INFO" | "SET_IRQS" | "RESET" | "FEATURE"}`
  | `VFIO_DEVICE_${"GET_PCI_HOT_RESET_INFO" | "PCI_HOT_RESET"}`
  | `VFIO_GROUP_${"GET_STATUS" | "SET_CONTAINER" | "GET_DEVICE_FD"}`
  | "IOMMU_VFIO_IOAS"
  | "VFIO_DEVICE_BIND_IOMMUFD"
  | "VFIO_DEVICE_ATTACH_IOMMUFD_PT"
  | "IOMMU_DESTROY"
  | `IOMMU_IOAS_${"ALLOC" | "COPY" | "UNMAP" | "MAP_FILE"}`
  | "DMA_BUF_SET_NAME_B"
>;

/**
 * Makes an ioctl, again a few times where it says EAGAIN or EINTR (a reset that finds the device's
 * lock taken means it, and is as well asked again).
 *
 * @param fd on what
 * @param request by its C name
 * @param argument its struct, written to by the kernel; `null` where it takes none
 * @param call what to call it in an error; absent: `request`
 * @returns the ioctl's result
 * @throws {KernelError}
 */
export function ioctl(
  fd: Fd,
  request: Request,
  argument: BufferSource | null,
  call: string = request,
): number {
  return checked(call, fd.what, ioctlResult(fd, request, argument));
}

/**
 * The same, for who has more to do with a refusal than to throw.
 *
 * @param fd on what
 * @param request by its C name
 * @param argument its struct; `null` where it takes none
 * @returns the ioctl's result; `-errno` when it was refused
 */
export function ioctlResult(fd: Fd, request: Request, argument: BufferSource | null): number {
  const { ioctl } = libc();
  const number = fd.number;
  const operation = C[request];
  const result = ioctl(number, operation, argument);
  return result >= 0 ? result : reissuedAfter(result, () => ioctl(number, operation, argument));
}

/** An ioctl whose argument is a number. */
export type ValueRequest = `VFIO_${"GET_API_VERSION" | "CHECK_EXTENSION" | "SET_IOMMU"}`;

/**
 * Makes an ioctl whose argument is a number.
 *
 * @param fd on what
 * @param request by its C name
 * @param value its argument; 0 where it takes none
 * @returns the ioctl's result
 * @throws {KernelError}
 */
export function ioctlValue(fd: Fd, request: ValueRequest, value: bigint): number {
  const { ioctl_value } = libc();
  const number = fd.number;
  return checked(request, fd.what, reissued(() => ioctl_value(number, C[request], value)));
}
