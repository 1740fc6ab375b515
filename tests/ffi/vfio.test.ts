import "../../ffi/preload.ts";
import { deepEqual, equal, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { closeDescriptor, memfd, openPath } from "../../ffi/descriptors.ts";
import { parseDeviceFdinfo } from "../../ffi/device_address.ts";
import { dmaBufFacts, parseDmaBufFdinfo, setDmaBufName } from "../../ffi/dma_buf.ts";
import {
  ioasAlloc,
  ioasCopy,
  ioasMapFile,
  ioasUnmap,
  iommuDestroy,
  isIommufd,
} from "../../ffi/iommufd.ts";
import { C, STRUCTS } from "../../ffi/layouts.ts";
import { encode } from "../../ffi/struct.ts";
import {
  armInterrupt,
  attachIoas,
  bindIommufd,
  capabilityIds,
  deviceInfo,
  exportArgument,
  exportDmaBuf,
  probeDmaBuf,
  readRegion,
  regionInfo,
  resetDevice,
  writeRegion,
} from "../../ffi/vfio.ts";

/** A character device that knows none of the ioctls: the way to their errors without hardware. */
function withNull(step: (fd: Fd) => void): void {
  const fd = openPath("/dev/null", C.O_RDWR, "0000:01:00.0");
  try {
    step(fd);
  } finally {
    closeDescriptor(fd);
  }
}

Deno.test("the export's argument is what the kernel reads, byte by byte", () => {
  const argument = exportArgument(2, [
    { offset: 0x1000n, length: 0x2000n },
    { offset: 0xffff_fffff000n, length: 1n << 62n },
  ]);
  const words = new Uint32Array(argument.buffer);
  deepEqual([...words.subarray(0, 6)], [24 + 32, 0x1000b, 2, 0x80002, 0, 2]);
  const ranges = new BigUint64Array(argument.buffer, 24);
  deepEqual([...ranges], [0x1000n, 0x2000n, 0xffff_fffff000n, 1n << 62n]);
  equal(argument.byteLength, 56);
});

Deno.test("an export's argument has nothing of the one before, and stays when another is made", () => {
  const first = exportArgument(5, [{ offset: (1n << 64n) - 1n, length: (1n << 64n) - 1n }]);
  const before = first.slice();
  const second = exportArgument(0, [{ offset: 0n, length: 1n }]);
  deepEqual(first, before);
  deepEqual([...new Uint32Array(second.buffer)], [40, 0x1000b, 0, 0x80002, 0, 1, 0, 0, 1, 0]);
  const many = Array.from({ length: 40 }, (_, page) => ({ offset: BigInt(page), length: 1n }));
  const longWords = new BigUint64Array(exportArgument(1, many).buffer, 24);
  deepEqual([...longWords], many.flatMap(({ offset, length }) => [offset, length]));
});

Deno.test("every ioctl's error names the ioctl, the errno and the device", () => {
  const calls: readonly (readonly [string, (fd: Fd) => unknown])[] = [
    ["VFIO_DEVICE_BIND_IOMMUFD", (fd) => bindIommufd(fd, fd)],
    ["VFIO_DEVICE_ATTACH_IOMMUFD_PT", (fd) => attachIoas(fd, 1)],
    ["VFIO_DEVICE_GET_INFO", deviceInfo],
    ["VFIO_DEVICE_GET_REGION_INFO", (fd) => regionInfo(fd, 0)],
    ["VFIO_DEVICE_GET_REGION_INFO", (fd) => readRegion(fd, 7, 0n, 2)],
    ["VFIO_DEVICE_GET_REGION_INFO", (fd) => writeRegion(fd, 7, 4n, new Uint8Array(2))],
    ["VFIO_DEVICE_FEATURE_DMA_BUF", (fd) => exportDmaBuf(fd, 0, [])],
    ["VFIO_DEVICE_RESET", resetDevice],
    ["VFIO_DEVICE_SET_IRQS", (fd) => armInterrupt(fd, "error", undefined)],
    ["VFIO_DEVICE_SET_IRQS", (fd) => armInterrupt(fd, "request", fd)],
    ["IOMMU_IOAS_ALLOC", ioasAlloc],
    ["IOMMU_DESTROY", (fd) => iommuDestroy(fd, 1)],
    ["IOMMU_IOAS_COPY", (fd) => ioasCopy(fd, 1, 2, 0n, 4096n)],
    ["IOMMU_IOAS_UNMAP", (fd) => ioasUnmap(fd, 1, 0n, 4096n)],
    [
      "IOMMU_IOAS_MAP_FILE",
      (fd) =>
        ioasMapFile({
          iommufd: fd,
          ioas: 1,
          dmaBuf: fd,
          start: 0n,
          length: 4096n,
          iova: 0n,
          writeable: true,
        }),
    ],
    ["DMA_BUF_SET_NAME", (fd) => setDmaBufName(fd, "cmb/data")],
  ];
  withNull((fd) => {
    for (const [call, make] of calls) {
      const expected = { call, errnoName: "ENOTTY", errno: 25, subject: "0000:01:00.0" };
      throws(() => make(fd), expected);
    }
  });
});

Deno.test("a kernel that does not know the feature is told from one that is broken", () => {
  withNull((fd) => deepEqual(probeDmaBuf(fd), { state: "absent", cause: "kernel" }));
});

Deno.test("a closed descriptor is no device", () => {
  const fd = openPath("/dev/null", C.O_RDWR);
  closeDescriptor(fd);
  throws(() => probeDmaBuf(fd), { name: "ClosedFdError" });
});

/** A region info of 64 bytes with capability headers at some places. */
function chain(...headers: readonly (readonly [at: number, id: number, next: number])[]) {
  const view = new DataView(new ArrayBuffer(64));
  for (const [at, id, next] of headers) {
    encode(STRUCTS.vfio_info_cap_header, { id, version: 1, next }, view, at);
  }
  return view;
}

Deno.test("the chain of capabilities is walked in its own order", () => {
  deepEqual(capabilityIds(chain(), 0), []);
  deepEqual(capabilityIds(chain([32, 3, 0]), 32), [3]);
  deepEqual(capabilityIds(chain([32, 2, 0], [48, 3, 32]), 48), [3, 2]);
});

Deno.test("a chain that makes no sense is refused, not followed", () => {
  deepEqual(capabilityIds(chain([32, 1, 48], [48, 2, 32]), 32), undefined);
  deepEqual(capabilityIds(chain([32, 1, 32]), 32), undefined);
  deepEqual(capabilityIds(chain([32, 1, 60]), 32), undefined);
  deepEqual(capabilityIds(chain([32, 1, 0xffffffff]), 32), undefined);
  deepEqual(capabilityIds(chain(), 8), undefined);
});

Deno.test("the address is the last part of the device's path in fdinfo", () => {
  const of = (path: string) => parseDeviceFdinfo(`pos:\t0\nvfio-device-syspath: ${path}\n`);
  equal(of("/sys/devices/pci0000:00/0000:00:07.0/0000:01:00.0"), "0000:01:00.0");
  equal(of("/sys/devices/pci10000:e0/10000:e0:1f.7"), "10000:e0:1f.7");
  equal(of("/sys/devices/virtual/mdpy"), undefined);
  equal(of("/tmp/0000:01:00.0"), undefined);
  equal(parseDeviceFdinfo("pos:\t0\nflags:\t02\n"), undefined);
});

const FDINFO = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t7\nsize:\t8192\ncount:\t2\n" +
  "exp_name:\tvfio_pci_core\n";

Deno.test("fdinfo of a dma-buf tells references, exporter and name", () => {
  deepEqual(parseDmaBufFdinfo(FDINFO), { references: 2, exporter: "vfio_pci_core" });
  deepEqual(parseDmaBufFdinfo(`${FDINFO}name:\tcmb/data\n`)?.name, "cmb/data");
  deepEqual(parseDmaBufFdinfo("pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t7\n"), undefined);
});

Deno.test("a holder cannot forge facts by a name with line breaks", () => {
  const forged = `${FDINFO}name:\tx\ncount:\t1\nexp_name:\tevil\nname:\ty\n`;
  deepEqual(parseDmaBufFdinfo(forged), { references: 2, exporter: "vfio_pci_core", name: "x" });
});

Deno.test("a file that is no dma-buf is refused, and is no iommufd", () => {
  const fd = memfd("plain", 4096n);
  throws(() => dmaBufFacts(fd), { name: "KernelError", errnoName: "EINVAL", subject: "plain" });
  equal(isIommufd(fd), false);
  closeDescriptor(fd);
  withNull((it) => equal(isIommufd(it), false));
});
