/**
 * iommufd (include/uapi/linux/iommufd.h): I/O address spaces and what is mapped in them.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { MapRequest } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { openPath } from "./descriptors.ts";
import { identifyDescriptor, identifyPath, isType } from "./file_identity.ts";
import { ioctl } from "./ioctl.ts";
import { C, STRUCTS } from "./layouts.ts";
import { encode, getBig, getNumber } from "./struct.ts";

/** Where the kernel offers iommufds. */
export const IOMMU_NODE = "/dev/iommu";

/**
 * Opens a fresh iommufd.
 *
 * @returns the descriptor; the caller owns it
 * @throws {KernelError} ENOENT where the kernel has no iommufd
 */
export function openIommufd(): Fd {
  return openPath(IOMMU_NODE, C.O_RDWR, "iommufd");
}

/**
 * Whether a descriptor that somebody sent is an iommufd: a character device of the same number as
 * `/dev/iommu`.
 *
 * @param fd from anywhere
 * @returns false too where there is no `/dev/iommu`
 * @throws {KernelError} if the descriptor cannot be looked at
 */
export function isIommufd(fd: Fd): boolean {
  const file = identifyDescriptor(fd);
  const node = iommuNode();
  return node !== undefined && isType(file, C.S_IFCHR) && file.rdev === node.rdev;
}

function iommuNode() {
  try {
    return identifyPath(IOMMU_NODE);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

/**
 * `IOMMU_IOAS_ALLOC`.
 *
 * @param iommufd where
 * @returns the id of an empty I/O address space
 * @throws {KernelError}
 */
export function ioasAlloc(iommufd: Fd): number {
  const argument = allocArgument();
  ioctl(iommufd, "IOMMU_IOAS_ALLOC", argument);
  return getNumber(argument, STRUCTS.iommu_ioas_alloc.fields.out_ioas_id);
}

/** @returns the argument of `IOMMU_IOAS_ALLOC` */
export function allocArgument(): DataView<ArrayBuffer> {
  const layout = STRUCTS.iommu_ioas_alloc;
  return encode(layout, { size: layout.size });
}

/**
 * `IOMMU_VFIO_IOAS` (SET): the I/O address space of devices that a group with this iommufd opens.
 * `VFIO_GROUP_SET_CONTAINER` makes one where there is none.
 *
 * @param iommufd where
 * @param ioas an I/O address space of it
 * @throws {KernelError}
 */
export function setCompatibleIoas(iommufd: Fd, ioas: number): void {
  const layout = STRUCTS.iommu_vfio_ioas;
  const argument = encode(layout, {
    size: layout.size,
    ioas_id: ioas,
    op: C.IOMMU_VFIO_IOAS_SET,
  });
  ioctl(iommufd, "IOMMU_VFIO_IOAS", argument);
}

/**
 * `IOMMU_DESTROY`.
 *
 * @param iommufd where
 * @param id of any object
 * @throws {KernelError} EBUSY while it is used; ENOENT where it is unknown
 */
export function iommuDestroy(iommufd: Fd, id: number): void {
  const layout = STRUCTS.iommu_destroy;
  ioctl(iommufd, "IOMMU_DESTROY", encode(layout, { size: layout.size, id }));
}

/**
 * `IOMMU_IOAS_MAP_FILE`.
 *
 * @param request what to map, and where
 * @returns the IOVA
 * @throws {KernelError} ENODEV where the buffer is revoked
 */
export function ioasMapFile(request: MapRequest): bigint {
  const argument = mapFileArgument({ ...request, dmaBuf: request.dmaBuf.number });
  ioctl(request.iommufd, "IOMMU_IOAS_MAP_FILE", argument);
  return getBig(argument, STRUCTS.iommu_ioas_map_file.fields.iova);
}

/** @returns the argument of `IOMMU_IOAS_MAP_FILE` */
export function mapFileArgument(
  request: Omit<MapRequest, "iommufd" | "dmaBuf"> & { readonly dmaBuf: number },
): DataView<ArrayBuffer> {
  const layout = STRUCTS.iommu_ioas_map_file;
  return encode(layout, {
    size: layout.size,
    flags: mapFlags(request.iova, request.writeable),
    ioas_id: request.ioas,
    fd: request.dmaBuf,
    start: request.start,
    length: request.length,
    iova: request.iova ?? 0n,
  });
}

function mapFlags(iova: bigint | undefined, writeable: boolean): number {
  return C.IOMMU_IOAS_MAP_READABLE |
    (writeable ? C.IOMMU_IOAS_MAP_WRITEABLE : 0) |
    (iova === undefined ? 0 : C.IOMMU_IOAS_MAP_FIXED_IOVA);
}

/**
 * `IOMMU_IOAS_COPY`: maps an area once more, readable and writeable, where the kernel chooses.
 *
 * @param iommufd where
 * @param destination I/O address space
 * @param source I/O address space
 * @param iova of the area in the source
 * @param length of the whole area, bytes
 * @returns the IOVA in the destination
 * @throws {KernelError}
 */
export function ioasCopy(
  iommufd: Fd,
  destination: number,
  source: number,
  iova: bigint,
  length: bigint,
): bigint {
  const layout = STRUCTS.iommu_ioas_copy;
  const argument = encode(layout, {
    size: layout.size,
    flags: mapFlags(undefined, true),
    dst_ioas_id: destination,
    src_ioas_id: source,
    length,
    src_iova: iova,
  });
  ioctl(iommufd, "IOMMU_IOAS_COPY", argument);
  return getBig(argument, layout.fields.dst_iova);
}

/**
 * `IOMMU_IOAS_UNMAP`. The range must cover whole areas; 0 and 2^64-1 mean everything.
 *
 * @param iommufd where
 * @param ioas I/O address space
 * @param iova start
 * @param length bytes
 * @returns bytes unmapped
 * @throws {KernelError} ENOENT where nothing is there
 */
export function ioasUnmap(iommufd: Fd, ioas: number, iova: bigint, length: bigint): bigint {
  const argument = unmapArgument(ioas, iova, length);
  ioctl(iommufd, "IOMMU_IOAS_UNMAP", argument);
  return getBig(argument, STRUCTS.iommu_ioas_unmap.fields.length);
}

/** @returns the argument of `IOMMU_IOAS_UNMAP` */
export function unmapArgument(ioas: number, iova: bigint, length: bigint): DataView<ArrayBuffer> {
  const layout = STRUCTS.iommu_ioas_unmap;
  return encode(layout, { size: layout.size, ioas_id: ioas, iova, length });
}
