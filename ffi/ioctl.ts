/**
 * ioctl(2).
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import { C } from "./layouts.ts";
import { checked, reissued } from "./errno.ts";
import { libc } from "./libc.ts";

/** An ioctl of the layout table. */
export type Request = Extract<
  keyof typeof C,
  | `VFIO_DEVICE_${"GET_INFO" | "GET_REGION_INFO" | "SET_IRQS" | "RESET" | "FEATURE"}`
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
  const { ioctl } = libc();
  const number = fd.number;
  return checked(call, fd.what, reissued(() => ioctl(number, C[request], argument)));
}
