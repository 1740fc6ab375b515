import assert from "node:assert/strict";
import fc from "fast-check";
import { configHeader, findCapability, msixRanges } from "../../host/config_space.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import { parseResource } from "../../host/resource.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const NVME = "/sys/bus/pci/devices/0000:01:00.0";

function nvmeConfig(): Uint8Array {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint16(0x06, 0x10, true);
  view.setUint32(0x08, 0x0108_0202, true);
  view.setUint32(0x2c, 0x1100_1af4, true);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x11);
  view.setUint16(0x42, 64, true);
  view.setUint32(0x44, 0x2000, true);
  view.setUint32(0x48, 0x3000, true);
  return config;
}

function nvmeTree(more: Record<string, string | Uint8Array> = {}) {
  return {
    [NVME]: "->../../../devices/pci0000:00/0000:01:00.0",
    [`${NVME}/vendor`]: "0x1b36\n",
    [`${NVME}/device`]: "0x0010\n",
    [`${NVME}/class`]: "0x010802\n",
    [`${NVME}/config`]: nvmeConfig(),
    [`${NVME}/resource`]: "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n" +
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n" +
      "0x0000000800000000 0x0000000800ffffff 0x000000000014220c\n",
    [`${NVME}/driver`]: "->../../../../bus/pci/drivers/vfio-pci",
    [`${NVME}/iommu_group`]: "->../../../../kernel/iommu_groups/3",
    [`${NVME}/reset_method`]: "flr bus\n",
    [`${NVME}/power_state`]: "D0\n",
    [`${NVME}/vfio-dev/vfio0/dev`]: "511:0\n",
    ...more,
  };
}

const KERNEL = { release: "7.3.4", pageSize: 4096 };

Deno.test("readSnapshot reads a function with all that decisions need", () => {
  const { snapshot, skipped } = readSnapshot(new MemoryFiles(nvmeTree()), KERNEL);
  assert.deepEqual(skipped, []);
  const [fn] = snapshot.functions;
  assert.deepEqual({ ...fn, config: fn?.config.length }, {
    address: "0000:01:00.0",
    vendor: "1b36",
    device: "0010",
    subsystem: "1af4:1100",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: 3,
    groupNode: "/dev/vfio/3",
    parent: "pci0000:00",
    cdev: "/dev/vfio/devices/vfio0",
    resetMethods: ["flr", "bus"],
    powerState: "D0",
    config: 256,
    bars: [
      { index: 0, kind: "memory64", start: 0xfe000000n, size: 0x4000n, prefetchable: false },
      { index: 2, kind: "memory64", start: 0x800000000n, size: 0x1000000n, prefetchable: true },
    ],
    unreadable: [],
  });
});

Deno.test("readSnapshot reads runtime power management of what VFIO has, where the kernel has it", () => {
  const statusOf = (more: Record<string, string>) => {
    const { snapshot } = readSnapshot(new MemoryFiles(nvmeTree(more)), KERNEL);
    return snapshot.functions[0]?.runtimeStatus;
  };
  const file = `${NVME}/power/runtime_status`;
  assert.equal(statusOf({}), undefined);
  assert.equal(statusOf({ [file]: "suspended\n" }), "suspended");
  const native = { [`${NVME}/driver`]: "->../../../../bus/pci/drivers/nvme" };
  assert.equal(statusOf({ ...native, [file]: "suspended\n" }), undefined);
});

Deno.test("readSnapshot reads what is above a wanted function too, and slots, each once", () => {
  const devices = "/sys/bus/pci/devices";
  const root = "/sys/devices/pci0000:00/0000:00:10.0";
  const copy = (from: string, to: string) =>
    Object.fromEntries(
      Object.entries(nvmeTree()).map(([path, value]) => [path.replace(from, to), value]),
    );
  const files = new MemoryFiles({
    ...nvmeTree({ [NVME]: `->${root}/0000:01:00.0` }),
    ...copy("0000:01:00.0", "0000:01:00.1"),
    [`${devices}/0000:01:00.1`]: `->${root}/0000:01:00.1`,
    [`${devices}/0000:02:00.0`]: `->${root}/0000:02:00.0`,
    [`${devices}/0000:01:00.1/physfn`]: "->../0000:01:00.0",
    ...copy("0000:01:00.0", "0000:00:10.0"),
    [`${devices}/0000:00:10.0`]: `->${root}`,
    ...copy("0000:01:00.0", "0000:02:00.0"),
    "/sys/bus/pci/slots/1/address": "0000:01:00\n",
    "/sys/bus/pci/slots/9/power": "1\n",
  });
  const wanted = (address: string) => address === "0000:01:00.1";
  const { snapshot, skipped } = readSnapshot(files, KERNEL, wanted);
  assert.deepEqual(skipped, []);
  assert.deepEqual(snapshot.functions.map(({ address, parent, slot }) => [address, parent, slot]), [
    ["0000:00:10.0", "pci0000:00", undefined],
    ["0000:01:00.0", "0000:00:10.0", "1"],
    ["0000:01:00.1", "0000:00:10.0", "1"],
  ]);
});

Deno.test("readSnapshot reads what is reset together with a wanted function", () => {
  const devices = "/sys/bus/pci/devices";
  const port = "0000:00:10.0";
  const at = (address: string) =>
    Object.fromEntries(
      Object.entries(nvmeTree()).map(([path, value]) => [
        path.replace("0000:01:00.0", address),
        value,
      ]),
    );
  const files = new MemoryFiles({
    ...at("0000:01:00.0"),
    [`${devices}/0000:01:00.0`]: `->/sys/devices/pci0000:00/${port}/0000:01:00.0`,
    ...at("0000:01:00.1"),
    ...at("0000:05:00.0"),
    ...at("0000:06:00.0"),
    ...at(port),
    [`${devices}/${port}/0000:01:00.0/uevent`]: "",
    [`${devices}/${port}/0000:01:00.1/uevent`]: "",
    [`${devices}/0000:01:00.0/virtfn0`]: "->../0000:05:00.0",
  });
  const { snapshot } = readSnapshot(files, KERNEL, (address) => address === "0000:01:00.0");
  assert.deepEqual(snapshot.functions.map(({ address }) => address), [
    port,
    "0000:01:00.0",
    "0000:01:00.1",
    "0000:05:00.0",
  ]);
});

Deno.test("readSnapshot leaves out what makes no sense, and says so", () => {
  const files = new MemoryFiles(nvmeTree({
    "/sys/bus/pci/devices/evil\nname/vendor": "0x1234\n",
    "/sys/bus/pci/devices/0000:03:00.0": "->../../../devices/pci0000:00/0000:03:00.0",
    "/sys/bus/pci/devices/0000:02:00.0/vendor": "0x1234\n",
    "/sys/bus/pci/devices/0000:03:00.0/vendor": "nonsense\n",
    "/sys/bus/pci/devices/0000:03:00.0/config": new Uint8Array(64),
  }));
  const { snapshot, skipped } = readSnapshot(files, KERNEL);
  assert.deepEqual(snapshot.functions.map(({ address }) => address), ["0000:01:00.0"]);
  assert.deepEqual(skipped.map(({ address }) => address), [
    "0000:02:00.0",
    "0000:03:00.0",
    "evil\nname",
  ]);
});

Deno.test("readSnapshot has no cdev for a kernel that makes none, and marks short config space", () => {
  const tree: Record<string, string | Uint8Array> = nvmeTree({
    [`${NVME}/config`]: nvmeConfig().slice(0, 64),
    [`${NVME}/vfio-dev/vfio0/power`]: "",
  });
  delete tree[`${NVME}/vfio-dev/vfio0/dev`];
  const [fn] = readSnapshot(new MemoryFiles(tree), KERNEL).snapshot.functions;
  assert.equal(fn?.cdev, undefined);
  assert.deepEqual(fn?.unreadable, [
    { field: "config beyond 64 bytes", right: "CAP_SYS_ADMIN" },
  ]);
});

Deno.test("readSnapshot takes the group node that is there: without an IOMMU it has another name", () => {
  const nodeWith = (...nodes: readonly string[]) => {
    const tree = nvmeTree(Object.fromEntries(nodes.map((name) => [`/dev/vfio/${name}`, ""])));
    const [fn] = readSnapshot(new MemoryFiles(tree), KERNEL).snapshot.functions;
    return [fn?.groupNode, fn?.groupAccess?.mode];
  };
  assert.deepEqual(nodeWith(), ["/dev/vfio/3", undefined]);
  assert.deepEqual(nodeWith("vfio", "3"), ["/dev/vfio/3", "0600"]);
  assert.deepEqual(nodeWith("vfio", "noiommu-3"), ["/dev/vfio/noiommu-3", "0600"]);
  assert.deepEqual(nodeWith("noiommu-3", "3"), ["/dev/vfio/3", "0600"]);
  assert.deepEqual(nodeWith("noiommu-4"), ["/dev/vfio/3", undefined]);
});

Deno.test("parseResource refuses what the kernel never writes", () => {
  assert.throws(() => parseResource("0x0 0x1\n"), /BAR 0/);
  assert.throws(() => parseResource("0x00000000000000000 0x1 0x200\n"), /BAR 0/);
  assert.deepEqual(parseResource("0x5 0x4 0x200\n"), []);
});

Deno.test("msixRanges rounds nothing, and counts whole words of pending bits", () => {
  assert.deepEqual(msixRanges(nvmeConfig()), {
    table: { bar: 0, offset: 0x2000n, length: 1040n },
    pendingBits: { bar: 0, offset: 0x3000n, length: 16n },
  });
});

Deno.test("findCapability ends on loops and on chains that leave the bytes", () => {
  const config = nvmeConfig();
  config[0x41] = 0x40;
  assert.equal(findCapability(config, 0x05), undefined);
  config[0x41] = 0xfc;
  assert.equal(findCapability(config.slice(0, 128), 0x05), undefined);
});

Deno.test("config space of any content and length is read without a fault", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(255), (config, id) => {
    configHeader(config);
    const at = findCapability(config, id);
    assert.ok(at === undefined || (at >= 64 && at + 2 <= config.length));
    const ranges = msixRanges(config);
    assert.ok(ranges === undefined || ranges.table.length >= 16n);
  }));
});
