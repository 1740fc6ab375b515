import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { SimDmaBuf } from "../../sim/vfio.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";

const ADDRESS = "0000:01:00.0";
const NODE = "/dev/vfio/devices/vfio0";

/** Config space with power management at 0x40. */
function config(): Uint8Array {
  const bytes = new Uint8Array(256);
  bytes.set([0x40], 0x34);
  bytes.set([1, 0], 0x40);
  return bytes;
}

function kernelWith(more: { vfToken?: string; hotResetDomain?: readonly string[] } = {}) {
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

Deno.test("SimKernel demands a VF token where one is set, and refuses one where none is", async () => {
  const lane = kernelWith({ vfToken: "right" }).openLane("sim");
  const open = async (kernel: SimKernel, token?: string) => {
    const own = kernel.openLane("sim");
    await own.bindIommufd(await own.openNode(NODE), kernel.openIommufd(), token);
  };
  await rejects(open(kernelWith({ vfToken: "right" })), { errnoName: "EACCES" });
  await rejects(open(kernelWith({ vfToken: "right" }), "wrong"), { errnoName: "EACCES" });
  await rejects(open(kernelWith(), "any"), { errnoName: "EINVAL" });
  await open(kernelWith({ vfToken: "right" }), "right");
  await lane.end();
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
    functions: [{ address: ADDRESS, owned: true }],
    allOwned: true,
  });
  await lane.hotReset(device, []);
  ok(!buffer.revoked);
});
