/**
 * The bytes of each ioctl of a plan, by the encoders that make the ioctls. What is known only when a
 * call is made (numbers of descriptors and of I/O address spaces, addresses that the kernel chooses)
 * stands there as `..`, byte by byte.
 *
 * @module
 */
import type { CallEncoder, IoctlBytes, PlannedCall } from "../engine/planned_call.ts";
import { toCString } from "../ffi/c_string.ts";
import type { Request, ValueRequest } from "../ffi/ioctl.ts";
import { allocArgument, mapFileArgument, unmapArgument } from "../ffi/iommufd.ts";
import { C, STRUCTS } from "../ffi/layouts.ts";
import {
  bindArgument,
  exportArgument,
  interruptArgument,
  probeArgument,
  regionInfoArgument,
} from "../ffi/vfio.ts";

/** Bytes of an argument that are known only when the call is made. */
interface Hole {
  readonly offset: number;
  readonly length: number;
}

const INT = 4;
const LONG = 8;
/** Stands in for what a hole hides. */
const UNKNOWN = 0;

const BIND = STRUCTS.vfio_device_bind_iommufd.fields;
const IRQS = STRUCTS.vfio_irq_set.fields;
const MAP = STRUCTS.iommu_ioas_map_file.fields;
const UNMAP = STRUCTS.iommu_ioas_unmap.fields;

/** Lays out the ioctls of a planned call; calls that make none have none. */
export const ioctlsOf: CallEncoder = (call) => {
  switch (call.call) {
    case "bindIommufd":
      return [
        ioctl("VFIO_DEVICE_BIND_IOMMUFD", bindArgument(UNKNOWN), [hole(BIND.iommufd, INT)]),
      ];
    case "setContainer":
      return [
        ioctl("VFIO_GROUP_SET_CONTAINER", new Int32Array(1), [{ offset: 0, length: INT }]),
      ];
    case "setType1Iommu":
      return [
        value("VFIO_GET_API_VERSION", 0),
        value("VFIO_CHECK_EXTENSION", C.VFIO_TYPE1v2_IOMMU),
        value("VFIO_SET_IOMMU", C.VFIO_TYPE1v2_IOMMU),
      ];
    case "groupDevice":
      return [ioctl("VFIO_GROUP_GET_DEVICE_FD", toCString(call.address))];
    case "readRegion":
    case "writeRegion":
    case "regionInfo":
      return [ioctl("VFIO_DEVICE_GET_REGION_INFO", regionInfoArgument(call.region))];
    case "probeDmaBuf":
      return [ioctl("VFIO_DEVICE_FEATURE", probeArgument())];
    case "exportDmaBuf":
      return [ioctl("VFIO_DEVICE_FEATURE", exportArgument(call.region, call.ranges))];
    case "armInterrupt": {
      const argument = interruptArgument(call.interrupt, UNKNOWN);
      return [ioctl("VFIO_DEVICE_SET_IRQS", argument, [hole(IRQS.data, INT)])];
    }
    default:
      return iommuIoctlsOf(call);
  }
};

function iommuIoctlsOf(call: PlannedCall): readonly IoctlBytes[] {
  switch (call.call) {
    case "ioasAlloc":
      return [ioctl("IOMMU_IOAS_ALLOC", allocArgument())];
    case "ioasMapFile": {
      const { start, length, writeable } = call;
      const request = { ioas: UNKNOWN, dmaBuf: UNKNOWN, start, length, writeable };
      const holes = [hole(MAP.ioas_id, INT), hole(MAP.fd, INT)];
      return [ioctl("IOMMU_IOAS_MAP_FILE", mapFileArgument(request), holes)];
    }
    case "ioasUnmap": {
      const argument = unmapArgument(UNKNOWN, BigInt(UNKNOWN), call.length);
      const holes = [hole(UNMAP.ioas_id, INT), hole(UNMAP.iova, LONG)];
      return [ioctl("IOMMU_IOAS_UNMAP", argument, holes)];
    }
    default:
      return [];
  }
}

function hole({ offset }: { readonly offset: number }, length: number): Hole {
  return { offset, length };
}

function ioctl(
  name: Request,
  argument: ArrayBufferView<ArrayBufferLike>,
  holes: readonly Hole[] = [],
): IoctlBytes {
  const bytes = new Uint8Array(argument.buffer, argument.byteOffset, argument.byteLength);
  const texts = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  for (const { offset, length } of holes) texts.fill("..", offset, offset + length);
  return { name, request: hex(C[name]), bytes: texts.join("") };
}

/** The argument is a number, and no memory: the machine's word, least byte first. */
function value(name: ValueRequest, argument: number): IoctlBytes {
  const view = new DataView(new ArrayBuffer(LONG));
  view.setBigUint64(0, BigInt(argument), true);
  const texts = Array.from(
    new Uint8Array(view.buffer),
    (byte) => byte.toString(16).padStart(2, "0"),
  );
  return { name, request: hex(C[name]), bytes: texts.join("") };
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
