import "../../ffi/preload.ts";
import { deepEqual, equal, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { closeDescriptor, openPath } from "../../ffi/descriptors.ts";
import { hotReset, hotResetInfo, parseHotResetInfo } from "../../ffi/hot_reset.ts";
import { setCompatibleIoas } from "../../ffi/iommufd.ts";
import { C } from "../../ffi/layouts.ts";
import { enterLowPower, exitLowPower } from "../../ffi/low_power.ts";
import { checkedVfToken, vfTokenBytes } from "../../ffi/vf_token.ts";
import { bindIommufd } from "../../ffi/vfio.ts";
import { groupDevice, groupStatus, setContainer, setType1Iommu } from "../../ffi/vfio_group.ts";

const TOKEN = "14e7b6a0-0011-2233-4455-66778899aabb";

Deno.test("every ioctl of the group route and of resets names itself, the errno and the subject", () => {
  const calls: readonly (readonly [string, (fd: Fd) => unknown])[] = [
    ["VFIO_GROUP_GET_STATUS", groupStatus],
    ["VFIO_GROUP_SET_CONTAINER", (fd) => setContainer(fd, fd)],
    ["VFIO_GET_API_VERSION", setType1Iommu],
    ["VFIO_GROUP_GET_DEVICE_FD", (fd) => groupDevice(fd, "0000:01:00.0")],
    ["VFIO_GROUP_GET_DEVICE_FD", (fd) => groupDevice(fd, "0000:01:00.0", TOKEN)],
    ["VFIO_DEVICE_BIND_IOMMUFD", (fd) => bindIommufd(fd, fd, TOKEN)],
    ["VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", hotResetInfo],
    ["VFIO_DEVICE_PCI_HOT_RESET", (fd) => hotReset(fd, [fd, fd])],
    ["VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", enterLowPower],
    ["VFIO_DEVICE_FEATURE_LOW_POWER_EXIT", exitLowPower],
    ["IOMMU_VFIO_IOAS", (fd) => setCompatibleIoas(fd, 1)],
  ];
  const fd = openPath("/dev/null", C.O_RDWR, "group 7");
  for (const [call, make] of calls) {
    throws(() => make(fd), { call, errnoName: "ENOTTY", subject: "group 7" });
  }
  closeDescriptor(fd);
});

Deno.test("a VF token becomes bytes in the order of its text, and its text stays a secret", () => {
  const bytes = [0x14, 0xe7, 0xb6, 0xa0, 0, 0x11, 0x22, 0x33, 0x44, 0x55];
  deepEqual([...vfTokenBytes(TOKEN)], [...bytes, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb]);
  deepEqual(vfTokenBytes(TOKEN.toUpperCase()), vfTokenBytes(TOKEN));
  const wrong = ["", `${TOKEN} x`, `${TOKEN}\n`, TOKEN.replaceAll("-", ""), `g${TOKEN.slice(1)}`];
  for (const token of wrong) {
    throws(
      () => checkedVfToken(token),
      (error: Error) => error instanceof TypeError && !error.message.includes("0011"),
    );
  }
});

/** Hot reset info of some functions. */
function info(flags: number, ...functions: readonly (readonly number[])[]): DataView {
  const view = new DataView(new ArrayBuffer(12 + 8 * functions.length));
  view.setUint32(4, flags, true);
  view.setUint32(8, functions.length, true);
  functions.forEach(([id = 0, segment = 0, bus = 0, devfn = 0], index) => {
    view.setUint32(12 + 8 * index, id, true);
    view.setUint16(16 + 8 * index, segment, true);
    view.setUint8(18 + 8 * index, bus);
    view.setUint8(19 + 8 * index, devfn);
  });
  return view;
}

Deno.test("hot reset info tells groups by the group route", () => {
  const view = info(0, [7, 0, 1, 0], [8, 0x10, 0xff, 0xff]);
  deepEqual(parseHotResetInfo(view), {
    functions: [{ address: "0000:01:00.0", group: 7 }, { address: "0010:ff:1f.7", group: 8 }],
  });
});

Deno.test("hot reset info is of the device's own domain, of which the kernel tells 16 bits", () => {
  const told = (own?: string) =>
    parseHotResetInfo(info(0, [7, 1, 0xe1, 0], [7, 1, 0xe1, 1]), own).functions
      .map(({ address }) => address);
  deepEqual(told("10001:e1:00.0"), ["10001:e1:00.0", "10001:e1:00.1"]);
  deepEqual(told("0001:e1:00.0"), ["0001:e1:00.0", "0001:e1:00.1"]);
  deepEqual(told("fffe0001:e1:00.0"), ["fffe0001:e1:00.0", "fffe0001:e1:00.1"]);
  deepEqual(told(), ["0001:e1:00.0", "0001:e1:00.1"]);
});

Deno.test("hot reset info tells ownership by the character-device route", () => {
  const owned = C.VFIO_PCI_HOT_RESET_FLAG_DEV_ID | C.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
  deepEqual(parseHotResetInfo(info(owned, [1, 0, 1, 0], [0, 0, 1, 1])), {
    functions: [
      { address: "0000:01:00.0", owned: true, deviceId: 1 },
      { address: "0000:01:00.1", owned: true },
    ],
    allOwned: true,
  });
  const partly = info(C.VFIO_PCI_HOT_RESET_FLAG_DEV_ID, [0xffffffff, 0, 1, 1]);
  deepEqual(parseHotResetInfo(partly), {
    functions: [{ address: "0000:01:00.1", owned: false }],
    allOwned: false,
  });
});

Deno.test("a count that does not fit the memory is not believed", () => {
  const view = info(0, [7, 0, 1, 0]);
  view.setUint32(8, 0xffffffff, true);
  equal(parseHotResetInfo(view).functions.length, 1);
});
