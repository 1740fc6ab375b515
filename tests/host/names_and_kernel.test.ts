/** What is on a host besides PCI functions: names of devices, the kernel's configuration. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { readDeviceNames } from "../../host/device_names.ts";
import { FieldReader } from "../../host/field_reader.ts";
import { FilesError } from "../../host/files.ts";
import { readKernelConfig } from "../../host/kernel_config.ts";
import { KERNEL_OPTIONS } from "../../host/kernel_options.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const BRIDGE = "/sys/devices/pci0000:00/0000:00:01.0";

Deno.test("names lead to the PCI function that does the DMA, or to none", () => {
  const files = new MemoryFiles({
    "/sys/class/infiniband/mlx5_0/device": `->${BRIDGE}/0000:01:00.0`,
    "/sys/class/infiniband/rxe0/node_guid": "0\n",
    "/sys/class/drm/card0/device": `->${BRIDGE}/0000:02:00.0/virtio0`,
    [`${BRIDGE}/0000:02:00.0/virtio0/subsystem`]: "->../../../../../bus/virtio",
    "/sys/class/drm/renderD128/device": `->${BRIDGE}/0000:02:00.0/virtio0`,
    "/sys/class/drm/card1/device": `->${BRIDGE}/0000:04:00.0/usb1/1-2/1-2:1.0`,
    [`${BRIDGE}/0000:04:00.0/usb1/1-2/1-2:1.0/subsystem`]: "->../../../../../../../bus/usb",
    "/sys/class/drm/card2/device": `->${BRIDGE}/0000:02:00.0/simple-framebuffer.0`,
    [`${BRIDGE}/0000:02:00.0/simple-framebuffer.0/subsystem`]: "->../../../../../bus/platform",
    "/sys/class/drm/card3/device": `->${BRIDGE}/0000:04:00.0/usb1/virtio7`,
    [`${BRIDGE}/0000:04:00.0/usb1/virtio7/subsystem`]: "->../../../../../../bus/virtio",
    "/sys/class/infiniband/irdma0/device": `->${BRIDGE}/0000:01:00.1/ice.roce.0`,
    [`${BRIDGE}/0000:01:00.1/ice.roce.0/subsystem`]: "->../../../../../bus/auxiliary",
    "/sys/class/drm/card0-DP-1/device": "->/sys/class/drm/card0",
    "/sys/class/drm/version": "drm 1.1.0\n",
    "/sys/class/nvme/nvme0/device": `->${BRIDGE}/0000:03:00.0`,
    "/sys/class/nvme/nvme1/device": "->/sys/devices/virtual/nvme-fabrics/ctl",
  });
  const fields = new FieldReader(files);
  assert.deepEqual(readDeviceNames(files, fields), {
    rdma: [
      { name: "irdma0", function: "0000:01:00.1" },
      { name: "mlx5_0", function: "0000:01:00.0" },
      { name: "rxe0" },
    ],
    drm: [
      { name: "card0", function: "0000:02:00.0" },
      { name: "card1" },
      { name: "card2" },
      { name: "card3" },
      { name: "renderD128", function: "0000:02:00.0" },
    ],
    nvme: [{ name: "nvme0", function: "0000:03:00.0" }, { name: "nvme1" }],
  });
  assert.deepEqual([fields.unreadable, fields.findings], [[], []]);
});

Deno.test("an RDMA device of a sub-function is of the function that this is a part of", () => {
  const own = `${BRIDGE}/0000:08:00.0`;
  const files = new MemoryFiles({
    "/sys/class/infiniband/mlx5_2/device": `->${own}/mlx5_core.sf.4`,
    [`${own}/mlx5_core.sf.4/subsystem`]: "->../../../../../bus/auxiliary",
    "/sys/class/infiniband/mlx5_3/device": `->${own}/mlx5_core.sf.5/mlx5_core.rdma.5`,
    [`${own}/mlx5_core.sf.5/subsystem`]: "->../../../../../bus/auxiliary",
    [`${own}/mlx5_core.sf.5/mlx5_core.rdma.5/subsystem`]: "->../../../../../../bus/auxiliary",
    // What is between is no division: its DMA is not the function's.
    "/sys/class/infiniband/odd0/device": `->${own}/usb3/odd.rdma.0`,
    [`${own}/usb3/subsystem`]: "->../../../../../bus/usb",
    [`${own}/usb3/odd.rdma.0/subsystem`]: "->../../../../../../bus/auxiliary",
    // Nor is there one above a device that sits on none.
    "/sys/class/infiniband/odd1/device": "->/sys/devices/virtual/odd.rdma.1",
    "/sys/devices/virtual/odd.rdma.1/subsystem": "->../../../bus/auxiliary",
    "/sys/class/infiniband/odd2/device": `->${own}/${"a.b.0/".repeat(9)}c.d.0`,
  });
  for (let depth = 1; depth <= 9; depth++) {
    files.tree[`${own}/${"a.b.0/".repeat(depth)}subsystem`] = "->/sys/bus/auxiliary";
  }
  files.tree[`${own}/${"a.b.0/".repeat(9)}c.d.0/subsystem`] = "->/sys/bus/auxiliary";
  const fields = new FieldReader(files);
  assert.deepEqual(readDeviceNames(files, fields).rdma, [
    { name: "mlx5_2", function: "0000:08:00.0" },
    { name: "mlx5_3", function: "0000:08:00.0" },
    { name: "odd0" },
    { name: "odd1" },
    { name: "odd2" },
  ]);
  assert.deepEqual([fields.unreadable, fields.findings], [[], []]);
});

Deno.test("names that no device can have are findings, and are not taken", () => {
  const files = new MemoryFiles({
    "/sys/class/infiniband/evil\nname/x": "",
    "/sys/class/drm/card0\u001b[2J/x": "",
    "/sys/class/nvme/nvme-subsys0/x": "",
  });
  const fields = new FieldReader(files);
  assert.deepEqual(readDeviceNames(files, fields), { rdma: [], drm: [], nvme: [] });
  assert.deepEqual(fields.findings.map(({ path }) => path), [
    "/sys/class/infiniband/evil\nname",
    "/sys/class/drm/card0\u001b[2J",
  ]);
});

const CONFIG = [
  "# Automatically generated file; DO NOT EDIT.",
  "CONFIG_VFIO=m",
  "CONFIG_IOMMUFD=y",
  "# CONFIG_SW_SYNC is not set",
  'CONFIG_LOCALVERSION="CONFIG_PCI_P2PDMA=y"',
  "",
].join("\n");

Deno.test("the kernel's configuration is read from the first place that has it", async () => {
  const boot = "/boot/config-7.3.4";
  const packed = new MemoryFiles({
    "/proc/config.gz": gzipSync(CONFIG),
    [boot]: CONFIG.replace("VFIO=m", "VFIO=y"),
  });
  const { config, unreadable, findings } = await readKernelConfig(packed, "7.3.4");
  assert.deepEqual([unreadable, findings], [[], []]);
  assert.deepEqual(Object.keys(config ?? {}), [...KERNEL_OPTIONS]);
  const set = Object.entries(config ?? {}).filter(([, value]) => value !== "n");
  assert.deepEqual(set, [["CONFIG_VFIO", "m"], ["CONFIG_IOMMUFD", "y"]]);
  const plain = await readKernelConfig(new MemoryFiles({ [boot]: CONFIG }), "7.3.4");
  assert.deepEqual(plain.config, config);
});

Deno.test("a configuration that is none, that bursts, or that may not be read is told, and the next place tried", async () => {
  const boot = "/boot/config-7.3.4";
  const cases: readonly [string, Uint8Array | string, RegExp][] = [
    ["no gzip", new Uint8Array([0x1f, 0x8b, 1, 2, 3]), /unpacked/],
    ["cut off", gzipSync(CONFIG).subarray(0, 40), /unpacked/],
    ["a bomb", gzipSync(new Uint8Array(64 << 20)), /unpacked/],
    ["empty", "", /no option/],
  ];
  for (const [what, content, why] of cases) {
    const files = new MemoryFiles({ "/proc/config.gz": content, [boot]: CONFIG });
    const read = await readKernelConfig(files, "7.3.4");
    assert.equal(read.config?.["CONFIG_VFIO"], "m", what);
    assert.match(read.findings[0]?.why ?? "", why, what);
  }
  const refusing = new class extends MemoryFiles {
    override read(path: string): Uint8Array {
      throw new FilesError(path, "forbidden", `Cannot read ${path}`);
    }
  }({});
  assert.deepEqual((await readKernelConfig(refusing, "7.3.4")).unreadable[0], {
    field: "kernel.config in /proc/config.gz",
    right: "CAP_DAC_READ_SEARCH",
  });
});

Deno.test("a release that is no file name leads nowhere", async () => {
  const files = new MemoryFiles({ "/boot/config-../../etc/x": CONFIG });
  assert.equal((await readKernelConfig(files, "../../etc/x")).config, undefined);
});
