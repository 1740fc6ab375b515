/**
 * Hot reset (include/uapi/linux/vfio.h): the reset of a slot or bus, which hits every function on
 * it.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { HotResetFunction, HotResetInfo } from "../engine/kernel.ts";
import { formatPciAddress, parsePciAddress } from "../host/address.ts";
import { deviceAddress } from "./device_address.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { ioctl, ioctlResult } from "./ioctl.ts";
import { C, STRUCTS } from "./layouts.ts";
import { allocate, decode, encode, getNumber } from "./struct.ts";

const INFO = STRUCTS.vfio_pci_hot_reset_info;
const FUNCTION = STRUCTS.vfio_pci_dependent_device;
const RESET = STRUCTS.vfio_pci_hot_reset;
const INT = Int32Array.BYTES_PER_ELEMENT;

/** Functions that a slot or bus can have: 256 on a bus, more below bridges. */
const FIRST_ROOM = 32;
const FUNCTIONS_LIMIT = 64 * 1024;
/** What `segment` keeps of a domain. */
const SEGMENT_MASK = 0xffff;

/**
 * `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`: which functions a hot reset of this device hits.
 *
 * @param device an opened device
 * @throws {KernelError} ENODEV where neither slot nor bus can be reset
 */
export function hotResetInfo(device: Fd): HotResetInfo {
  for (let room = FIRST_ROOM; room <= FUNCTIONS_LIMIT;) {
    const view = allocate(INFO, FUNCTION.size * room);
    encode(INFO, { argsz: view.byteLength }, view);
    const result = ioctlResult(device, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", view);
    if (result >= 0) return parseHotResetInfo(view, deviceAddress(device));
    if (result !== -ERRNO.ENOSPC) {
      throw kernelError("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", result, device.what);
    }
    // A function may be added between two calls.
    room = Math.max(2 * room, getNumber(view, INFO.fields.count));
  }
  throw kernelError("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", -ERRNO.ENOSPC, device.what);
}

/**
 * Reads what the kernel filled in. Its field for the domain has 16 bits, and domains of volume
 * management devices have more; all that one reset hits is in one domain.
 *
 * @param view `struct vfio_pci_hot_reset_info` with its array
 * @param own address of the device that was asked, where it is known
 *
 * @example
 * ```ts
 * import { parseHotResetInfo } from "./hot_reset.ts";
 *
 * const view = new DataView(new ArrayBuffer(20));
 * view.setUint32(8, 1, true); // one function
 * view.setUint32(12, 7, true); // of group 7
 * view.setUint8(18, 0x5e); // bus
 * view.setUint8(19, 0x11); // device 2, function 1
 * const [first] = parseHotResetInfo(view).functions;
 * if (first?.address !== "0000:5e:02.1" || first.group !== 7) throw new Error("wrong");
 * ```
 */
export function parseHotResetInfo(view: DataView, own?: string): HotResetInfo {
  const domain = own === undefined ? 0 : parsePciAddress(own).domain;
  const { flags, count } = decode(INFO, view);
  const byDevice = (flags & C.VFIO_PCI_HOT_RESET_FLAG_DEV_ID) !== 0;
  const fits = Math.floor((view.byteLength - INFO.size) / FUNCTION.size);
  const functions = Array.from(
    { length: Math.min(count, fits) },
    (_, index) => functionAt(view, INFO.size + FUNCTION.size * index, byDevice, domain),
  );
  if (!byDevice) return { functions };
  return { functions, allOwned: (flags & C.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED) !== 0 };
}

function functionAt(
  view: DataView,
  at: number,
  byDevice: boolean,
  own: number,
): HotResetFunction {
  const { group_id, devid, segment, bus, devfn } = decode(FUNCTION, view, at);
  const domain = (own & SEGMENT_MASK) === segment ? own : segment;
  const address = formatPciAddress({ domain, bus, device: devfn >> 3, function: devfn & 7 });
  if (!byDevice) return { address, group: group_id };
  const id = devid | 0;
  if (id === C.VFIO_PCI_DEVID_NOT_OWNED) return { address, owned: false };
  return id === C.VFIO_PCI_DEVID_OWNED
    ? { address, owned: true }
    : { address, owned: true, deviceId: devid };
}

/**
 * `VFIO_DEVICE_PCI_HOT_RESET`: resets the slot or bus, all functions on it included. Waits for the
 * importers of all their buffers.
 *
 * @param device an opened device
 * @param groups by the group route: the groups of all functions that are hit. By the
 * character-device route: none; the iommufd proves the ownership
 * @throws {KernelError} EINVAL where a function that is hit is not owned; EBUSY where one is in use
 * at this moment
 */
export function hotReset(device: Fd, groups: readonly Fd[]): void {
  const view = allocate(RESET, INT * groups.length);
  encode(RESET, { argsz: view.byteLength, count: groups.length }, view);
  groups.forEach(({ number }, index) =>
    view.setInt32(RESET.fields.group_fds.offset + INT * index, number, true)
  );
  ioctl(device, "VFIO_DEVICE_PCI_HOT_RESET", view);
}
