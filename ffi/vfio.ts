/**
 * VFIO devices (include/uapi/linux/vfio.h): the ioctls on a device descriptor. They block where the
 * kernel does; who must not wait makes them on a lane.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type {
  DeviceInfo,
  DmaRange,
  EventInterrupt,
  FeatureAnswer,
  RegionInfo,
} from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { addressOf } from "./address.ts";
import { encodeExport } from "./export_request.ts";
import { checked, ERRNO, kernelError, reissued } from "./errno.ts";
import { ioctl } from "./ioctl.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { allocate, decode, encode, getNumber, type Values } from "./struct.ts";
import { vfTokenBytes } from "./vf_token.ts";

/**
 * `VFIO_DEVICE_BIND_IOMMUFD`: the step that opens a device of the character-device route.
 *
 * @param device an open `/dev/vfio/devices/vfioN`
 * @param iommufd what will own its DMA
 * @param vfToken for a VF whose PF demands one
 * @returns the device id within the iommufd
 * @throws {KernelError} EACCES where a token is demanded and missing or wrong; EINVAL where one is
 * given that nobody demanded
 * @throws {TypeError} if the token is no UUID
 */
export function bindIommufd(device: Fd, iommufd: Fd, vfToken?: string): number {
  const layout = STRUCTS.vfio_device_bind_iommufd;
  const argument = bindArgument(iommufd.number);
  const token = vfToken === undefined ? undefined : vfTokenBytes(vfToken);
  if (token !== undefined) {
    const flags = C.VFIO_DEVICE_BIND_FLAG_TOKEN;
    encode(layout, { flags, token_uuid_ptr: addressOf(token) }, argument);
  }
  ioctl(device, "VFIO_DEVICE_BIND_IOMMUFD", argument);
  // Also keeps it referenced until here: the struct holds its address only.
  token?.fill(0);
  return getNumber(argument, layout.fields.out_devid);
}

/** @returns the argument of `VFIO_DEVICE_BIND_IOMMUFD`, without a token */
export function bindArgument(iommufd: number): DataView<ArrayBuffer> {
  const layout = STRUCTS.vfio_device_bind_iommufd;
  return encode(layout, { argsz: layout.size, iommufd });
}

/**
 * `VFIO_DEVICE_ATTACH_IOMMUFD_PT`: lets the device's DMA go through an I/O address space.
 *
 * @param device a bound device
 * @param ioas an object of the iommufd that it is bound to
 * @throws {KernelError}
 */
export function attachIoas(device: Fd, ioas: number): void {
  const layout = STRUCTS.vfio_device_attach_iommufd_pt;
  const argument = encode(layout, { argsz: layout.size, pt_id: ioas });
  ioctl(device, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", argument);
}

/**
 * `VFIO_DEVICE_GET_INFO`.
 *
 * @param device an opened device
 * @throws {KernelError}
 */
export function deviceInfo(device: Fd): DeviceInfo {
  const layout = STRUCTS.vfio_device_info;
  const argument = encode(layout, { argsz: layout.size });
  ioctl(device, "VFIO_DEVICE_GET_INFO", argument);
  const { flags, num_regions, num_irqs } = decode(layout, argument);
  const has = (flag: number) => (flags & flag) !== 0;
  return {
    flags: { reset: has(C.VFIO_DEVICE_FLAGS_RESET), pci: has(C.VFIO_DEVICE_FLAGS_PCI) },
    regions: num_regions,
    interrupts: num_irqs,
  };
}

/** More than any kernel's capabilities of one region take, bytes. */
const REGION_INFO_LIMIT = 1 << 20;

/**
 * `VFIO_DEVICE_GET_REGION_INFO`, capabilities included.
 *
 * @param device an opened device
 * @param index region: BARs 0 to 5, ROM 6, config space 7
 * @throws {KernelError} EPROTO where the chain of capabilities makes no sense
 */
export function regionInfo(device: Fd, index: number): RegionInfo {
  const view = regionInfoWithCapabilities(device, index);
  const { flags, size, offset, cap_offset } = decode(STRUCTS.vfio_region_info, view);
  const has = (flag: number) => (flags & flag) !== 0;
  const ids = has(C.VFIO_REGION_INFO_FLAG_CAPS) ? capabilityIds(view, cap_offset) : [];
  if (ids === undefined) {
    throw kernelError("VFIO_DEVICE_GET_REGION_INFO", -ERRNO.EPROTO, device.what);
  }
  return {
    index,
    flags: {
      read: has(C.VFIO_REGION_INFO_FLAG_READ),
      write: has(C.VFIO_REGION_INFO_FLAG_WRITE),
      mmap: has(C.VFIO_REGION_INFO_FLAG_MMAP),
    },
    size,
    offset,
    capabilities: ids,
  };
}

/** Asks once for the size that the capabilities take, and once more if they did not fit. */
function regionInfoWithCapabilities(device: Fd, index: number): DataView<ArrayBuffer> {
  const first = askRegionInfo(device, index, 0);
  const wanted = getNumber(first, STRUCTS.vfio_region_info.fields.argsz);
  if (wanted <= first.byteLength) return first;
  const extra = Math.min(wanted, REGION_INFO_LIMIT) - first.byteLength;
  return askRegionInfo(device, index, extra);
}

function askRegionInfo(device: Fd, index: number, extra: number): DataView<ArrayBuffer> {
  const view = regionInfoArgument(index, extra);
  ioctl(device, "VFIO_DEVICE_GET_REGION_INFO", view);
  return view;
}

/** @returns the argument of `VFIO_DEVICE_GET_REGION_INFO`, with so many bytes for capabilities */
export function regionInfoArgument(index: number, extra = 0): DataView<ArrayBuffer> {
  const layout = STRUCTS.vfio_region_info;
  return encode(layout, { argsz: layout.size + extra, index }, allocate(layout, extra));
}

/**
 * Walks a chain of `vfio_info_cap_header`. An offset of 0 ends it.
 *
 * @param view the struct with its capabilities behind it
 * @param first offset of the first, bytes from the start of the struct
 * @returns the capabilities' ids in the chain's order; absent where an offset lies outside or comes
 * a second time
 */
export function capabilityIds(view: DataView, first: number): readonly number[] | undefined {
  const header = STRUCTS.vfio_info_cap_header;
  const seen = new Set<number>();
  const ids: number[] = [];
  for (let at = first; at !== 0;) {
    const outside = at < STRUCTS.vfio_region_info.size || at + header.size > view.byteLength;
    if (outside || seen.has(at)) return undefined;
    seen.add(at);
    ids.push(getNumber(view, header.fields.id, at));
    at = getNumber(view, header.fields.next, at);
  }
  return ids;
}

/**
 * Reads from a region.
 *
 * @param device an opened device
 * @param region index; 7 is config space
 * @param offset where, bytes into the region
 * @param length how many bytes
 * @returns the bytes; fewer where the region ends before
 * @throws {KernelError} EIO where the device does not answer (memory decode off, D3)
 */
export function readRegion(
  device: Fd,
  region: number,
  offset: bigint,
  length: number,
): Uint8Array<ArrayBuffer> {
  const start = regionStart(device, region) + offset;
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const { pread } = libc();
  return transfer(
    "pread",
    device,
    bytes,
    (rest, done) => pread(device.number, rest, BigInt(rest.length), start + BigInt(done)),
  );
}

/**
 * Writes to a region, as one access where `bytes` is 1, 2, 4 or 8 long.
 *
 * @param device an opened device
 * @param region index; 7 is config space
 * @param offset where, bytes into the region
 * @param bytes what
 * @throws {KernelError} EIO where the device does not answer; ENOSPC where the region ends before
 */
export function writeRegion(device: Fd, region: number, offset: bigint, bytes: Uint8Array): void {
  const start = regionStart(device, region) + offset;
  const { pwrite } = libc();
  const written = transfer(
    "pwrite",
    device,
    new Uint8Array(bytes),
    (rest, done) => pwrite(device.number, rest, BigInt(rest.length), start + BigInt(done)),
  );
  if (written.length < bytes.length) throw kernelError("pwrite", -ERRNO.ENOSPC, device.what);
}

function regionStart(device: Fd, region: number): bigint {
  return decode(STRUCTS.vfio_region_info, askRegionInfo(device, region, 0)).offset;
}

/** Reads or writes until all is done or the kernel does no more. */
function transfer(
  call: string,
  device: Fd,
  bytes: Uint8Array<ArrayBuffer>,
  move: (rest: Uint8Array<ArrayBuffer>, done: number) => number,
): Uint8Array<ArrayBuffer> {
  let done = 0;
  while (done < bytes.length) {
    const from = done;
    const moved = checked(call, device.what, reissued(() => move(bytes.subarray(from), from)));
    if (moved === 0) break;
    done += moved;
  }
  return bytes.subarray(0, done);
}

const FEATURE = STRUCTS.vfio_device_feature;
const PROBE_FLAGS = C.VFIO_DEVICE_FEATURE_PROBE | C.VFIO_DEVICE_FEATURE_GET |
  C.VFIO_DEVICE_FEATURE_DMA_BUF;

/**
 * Asks whether the kernel and the driver can export (`VFIO_DEVICE_FEATURE` with PROBE). Creates
 * nothing.
 *
 * @param device an opened device
 */
export function probeDmaBuf(device: Fd): FeatureAnswer {
  try {
    ioctl(device, "VFIO_DEVICE_FEATURE", probeArgument(), "VFIO_DEVICE_FEATURE_DMA_BUF (probe)");
    return { state: "present" };
  } catch (error) {
    if (error instanceof KernelError) return refusedProbe(error);
    throw error;
  }
}

/** @returns the argument of `VFIO_DEVICE_FEATURE` that asks for dma-bufs */
export function probeArgument(): DataView<ArrayBuffer> {
  return encode(FEATURE, { argsz: FEATURE.size, flags: PROBE_FLAGS });
}

function refusedProbe(error: KernelError): FeatureAnswer {
  if (error.errno === ERRNO.ENOTTY) return { state: "absent", cause: "kernel" };
  if (error.errno === ERRNO.EOPNOTSUPP) return { state: "absent", cause: "driver" };
  return { state: "broken", errnoName: error.errnoName };
}

/**
 * `VFIO_DEVICE_FEATURE_DMA_BUF`: exports ranges of one BAR as one dma-buf.
 *
 * @param device an opened device
 * @param region BAR, 0 to 5
 * @param ranges in the buffer's order
 * @returns the dma-buf, close-on-exec; the caller owns it. It may be revoked from birth
 * @throws {KernelError}
 */
export function exportDmaBuf(device: Fd, region: number, ranges: readonly DmaRange[]): Fd {
  const argument = encodeExport(region, ranges).bytes;
  const number = ioctl(device, "VFIO_DEVICE_FEATURE", argument, "VFIO_DEVICE_FEATURE_DMA_BUF");
  return new Fd(number, `dma-buf of ${device.what}`);
}

/**
 * The argument of the export ioctl, byte by byte as the kernel reads it.
 *
 * @param region BAR, 0 to 5
 * @param ranges in the buffer's order
 * @returns a copy of the bytes
 *
 * @example
 * ```ts
 * import { exportArgument } from "./vfio.ts";
 *
 * const argument = exportArgument(2, [{ offset: 0x1000n, length: 0x2000n }]);
 * if (argument.byteLength !== 40) throw new Error("24 bytes and 16 for each range");
 * ```
 */
export function exportArgument(region: number, ranges: readonly DmaRange[]): Uint8Array {
  return encodeExport(region, ranges).bytes.slice();
}

/**
 * `VFIO_DEVICE_RESET`.
 *
 * @param device an opened device
 * @throws {KernelError} EINVAL where the device has no function reset; EAGAIN where it is being
 * removed
 */
export function resetDevice(device: Fd): void {
  ioctl(device, "VFIO_DEVICE_RESET", null);
}

/**
 * Arms an eventfd on the error or the request interrupt, or disarms it (`VFIO_DEVICE_SET_IRQS`).
 *
 * @param device an opened device
 * @param which interrupt
 * @param eventFd what the kernel signals; absent: nothing more
 * @throws {KernelError}
 */
export function armInterrupt(device: Fd, which: EventInterrupt, eventFd: Fd | undefined): void {
  ioctl(device, "VFIO_DEVICE_SET_IRQS", interruptArgument(which, eventFd?.number ?? -1));
}

/** @returns the argument of `VFIO_DEVICE_SET_IRQS`; -1 for `eventFd` disarms */
export function interruptArgument(which: EventInterrupt, eventFd: number): DataView<ArrayBuffer> {
  const layout = STRUCTS.vfio_irq_set;
  const values: Values<typeof layout.fields> = {
    argsz: layout.size + Int32Array.BYTES_PER_ELEMENT,
    flags: C.VFIO_IRQ_SET_DATA_EVENTFD | C.VFIO_IRQ_SET_ACTION_TRIGGER,
    index: which === "error" ? C.VFIO_PCI_ERR_IRQ_INDEX : C.VFIO_PCI_REQ_IRQ_INDEX,
    start: 0,
    count: 1,
  };
  const argument = encode(layout, values, allocate(layout, Int32Array.BYTES_PER_ELEMENT));
  argument.setInt32(layout.fields.data.offset, eventFd, true);
  return argument;
}
