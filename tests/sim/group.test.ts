import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { SimDmaBuf } from "../../sim/vfio.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";

const ADDRESS = "0000:01:00.0";
const OTHER = "0000:01:00.1";
const NODE = "/dev/vfio/devices/vfio0";

/** Config space with power management at 0x40. */
function config(): Uint8Array {
  const bytes = new Uint8Array(256);
  bytes.set([0x40], 0x34);
  bytes.set([1, 0], 0x40);
  return bytes;
}

function kernelWith(more: { hotResetDomain?: readonly string[] } = {}) {
  return new SimKernel({
    functions: [{
      address: ADDRESS,
      node: NODE,
      config: config(),
      bars: new Map([[2, 0x10000n]]),
      resettable: true,
      virtual: false,
      group: 7,
      ...more,
    }],
  });
}

Deno.test("SimKernel opens a device by group and container, and keeps the group while it is open", async () => {
  const kernel = kernelWith();
  const lane = kernel.openLane("sim");
  const group = await lane.openNode("/dev/vfio/7");
  await rejects(lane.openNode("/dev/vfio/7"), { errnoName: "EBUSY" });
  const container = await lane.openNode("/dev/vfio/vfio");
  await rejects(lane.setType1Iommu(container), { errnoName: "EINVAL" });
  await rejects(lane.groupDevice(group, ADDRESS), { errnoName: "EINVAL" });
  await lane.setContainer(group, container);
  deepEqual(await lane.groupStatus(group), { viable: true, hasContainer: true });
  await rejects(lane.groupDevice(group, ADDRESS), { errnoName: "EINVAL" });
  await lane.setType1Iommu(container);
  await rejects(lane.groupDevice(group, "0000:02:00.0"), { errnoName: "ENODEV" });
  const device = await lane.groupDevice(group, ADDRESS);
  const buffer = await lane.exportDmaBuf(device, 2, [{ offset: 0n, length: 4096n }]);
  equal(kernel.file(buffer, SimDmaBuf).revoked, false);
  await lane.close(group);
  await rejects(lane.openNode("/dev/vfio/7"), { errnoName: "EBUSY" });
  await lane.close(device);
  ok(kernel.file(buffer, SimDmaBuf).revoked);
  for (const fd of [buffer, container, await lane.openNode("/dev/vfio/7")]) await lane.close(fd);
  deepEqual(kernel.ownDescriptors(), []);
});

Deno.test("SimKernel: a group with an iommufd opens devices at once, and shuts the character device out", async () => {
  const kernel = kernelWith();
  const lane = kernel.openLane("sim");
  const [group, iommufd] = [await lane.openNode("/dev/vfio/7"), kernel.openIommufd()];
  const node = await lane.openNode(NODE);
  await rejects(lane.bindIommufd(node, iommufd), { errnoName: "EBUSY" });
  await rejects(lane.setContainer(group, node), { errnoName: "EBADFD" });
  await lane.setContainer(group, iommufd);
  await rejects(lane.setContainer(group, iommufd), { errnoName: "EINVAL" });
  await lane.close(await lane.groupDevice(group, ADDRESS));
  await lane.close(group);
  await lane.bindIommufd(node, iommufd);
  await rejects(lane.openNode("/dev/vfio/7"), { errnoName: "EBUSY" });
});

Deno.test("SimKernel holds buffers revoked by low power and by D3hot, and a hot reset bounces", async () => {
  const kernel = kernelWith({ hotResetDomain: [ADDRESS] });
  const lane = kernel.openLane("sim");
  const device = await lane.openNode(NODE);
  await lane.bindIommufd(device, kernel.openIommufd());
  const buffer = kernel.file(
    await lane.exportDmaBuf(device, 2, [{ offset: 0n, length: 4096n }]),
    SimDmaBuf,
  );
  await lane.enterLowPower(device);
  ok(buffer.revoked);
  await rejects(lane.enterLowPower(device), { errnoName: "EINVAL" });
  await lane.exitLowPower(device);
  ok(!buffer.revoked);
  await lane.writeRegion(device, 7, 0x44n, new Uint8Array([3, 0]));
  ok(buffer.revoked);
  deepEqual(await lane.readRegion(device, 7, 0x44n, 1), new Uint8Array([3]));
  await lane.writeRegion(device, 7, 0x44n, new Uint8Array([0, 0]));
  ok(!buffer.revoked);
  deepEqual(await lane.hotResetInfo(device), {
    functions: [{ address: ADDRESS, owned: true, deviceId: 1 }],
    allOwned: true,
  });
  await lane.hotReset(device, []);
  ok(!buffer.revoked);
});

/** Two functions of one bus and, unless told otherwise, of one group. */
function twoFunctions(groups: readonly [number, number] = [7, 7], domain = [ADDRESS, OTHER]) {
  const kernel = new SimKernel({
    functions: [ADDRESS, OTHER].map((address, index) => ({
      address,
      node: `/dev/vfio/devices/vfio${index}`,
      config: config(),
      bars: new Map([[2, 0x10000n]]),
      resettable: true,
      virtual: false,
      group: groups[index] ?? 0,
      hotResetDomain: domain,
    })),
  });
  const lane = kernel.openLane("sim");
  const bind = async (index: number, iommufd: Fd) => {
    const device = await lane.openNode(`/dev/vfio/devices/vfio${index}`);
    await lane.bindIommufd(device, iommufd);
    const buffer = await lane.exportDmaBuf(device, 2, [{ offset: 0n, length: 4096n }]);
    return { device, buffer: kernel.file(buffer, SimDmaBuf) };
  };
  return { kernel, lane, bind };
}

Deno.test("SimKernel: who owns a group owns its functions that are not open too", async () => {
  const { kernel, lane, bind } = twoFunctions();
  const { device, buffer } = await bind(0, kernel.openIommufd());
  deepEqual(await lane.hotResetInfo(device), {
    functions: [{ address: ADDRESS, owned: true, deviceId: 1 }, { address: OTHER, owned: true }],
    allOwned: true,
  });
  await lane.hotReset(device, []);
  ok(!buffer.revoked);
  await rejects(bind(1, kernel.openIommufd()), { errnoName: "EPERM" });
});

Deno.test("SimKernel: a hot reset needs all functions, by one iommufd and a VFIO driver", async () => {
  const apart = twoFunctions([7, 8]);
  const first = await apart.bind(0, apart.kernel.openIommufd());
  await apart.bind(1, apart.kernel.openIommufd());
  equal((await apart.lane.hotResetInfo(first.device)).allOwned, false);
  await rejects(apart.lane.hotReset(first.device, []), { errnoName: "EINVAL" });
  const native = twoFunctions([7, 7], [ADDRESS, OTHER, "0000:01:00.2"]);
  const { device } = await native.bind(0, native.kernel.openIommufd());
  deepEqual((await native.lane.hotResetInfo(device)).functions.at(-1), {
    address: "0000:01:00.2",
    owned: false,
  });
  await rejects(native.lane.hotReset(device, []), { errnoName: "EINVAL" });
});

Deno.test("SimKernel: what is held stays revoked over a hot reset, its neighbour does not", async () => {
  const { kernel, lane, bind } = twoFunctions([7, 8]);
  const iommufd = kernel.openIommufd();
  const [held, beside] = [await bind(0, iommufd), await bind(1, iommufd)];
  await lane.writeRegion(held.device, 7, 4n, new Uint8Array([0, 0]));
  await lane.hotReset(beside.device, []);
  deepEqual([held.buffer.revoked, beside.buffer.revoked], [true, false]);
});
