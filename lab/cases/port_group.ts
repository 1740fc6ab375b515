/** The group route on the real kernel, and the other ways to hold and to reset a device. @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { Bench, errnoOf } from "./port_bench.ts";

const CONFIG = 7;

/** Where the power state is in config space: a byte's offset. */
async function pmcsrOf({ lane }: Bench, device: Fd): Promise<bigint> {
  const config = await lane.readRegion(device, CONFIG, 0n, 256);
  for (let at = config[0x34] ?? 0; at !== 0; at = config[at + 1] ?? 0) {
    if (config[at] === 1) return BigInt(at + 4);
  }
  throw new Error("no power management");
}

async function throughContainer(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane, address } = bench;
  const node = await bench.groupNode();
  const group = await bench.open(node);
  assert.equal(await errnoOf(lane.openNode(node)), "EBUSY");
  assert.equal(await errnoOf(lane.groupDevice(group, address)), "EINVAL");
  const container = await bench.open("/dev/vfio/vfio");
  assert.equal(await errnoOf(lane.setType1Iommu(container)), "EINVAL");
  assert.equal(await errnoOf(lane.setContainer(group, group)), "EBADFD");
  await lane.setContainer(group, container);
  assert.deepEqual(await lane.groupStatus(group), { viable: true, hasContainer: true });
  assert.equal(await errnoOf(lane.setContainer(group, container)), "EINVAL");
  assert.equal(await errnoOf(lane.groupDevice(group, address)), "EINVAL");
  await lane.setType1Iommu(container);
  assert.equal(await errnoOf(lane.setType1Iommu(container)), "EINVAL");
  assert.equal(await errnoOf(lane.groupDevice(group, "0000:ff:00.0")), "ENODEV");
  const token = "00112233-4455-6677-8899-aabbccddeeff";
  assert.equal(await errnoOf(lane.groupDevice(group, address, token)), "EINVAL");
  const device = bench.keep(await lane.groupDevice(group, address));
  assert.equal(await lane.deviceAddress(device), address);
  assert.deepEqual(await lane.probeDmaBuf(device), { state: "present" });
  const buffer = await bench.export(device);
  assert.ok(await bench.alive(buffer));
  await shutsCharacterDeviceOut(bench, "EBUSY");
  const second = bench.keep(await lane.groupDevice(group, address));
  await lane.close(device);
  assert.ok(await bench.alive(buffer), "a second open keeps the device open");
  await lane.close(group);
  assert.equal(await errnoOf(lane.openNode(node)), "EBUSY", "the device keeps the group open");
  await lane.close(second);
  assert.ok(!await bench.alive(buffer), "the last close revokes for good");
  await lane.close(await lane.openNode(node));
}

async function shutsCharacterDeviceOut(bench: Bench, expected: string): Promise<void> {
  const cdev = await bench.open(await bench.context.vfioNode(bench.address));
  const other = bench.keep(bench.kernel.openIommufd());
  assert.equal(await errnoOf(bench.lane.bindIommufd(cdev, other)), expected);
  await bench.lane.close(cdev);
}

async function throughIommufd(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane, address } = bench;
  const node = await bench.groupNode();
  const group = await bench.open(node);
  const iommufd = bench.keep(bench.kernel.openIommufd());
  await lane.setContainer(group, iommufd);
  assert.deepEqual(await lane.groupStatus(group), { viable: true, hasContainer: true });
  const device = bench.keep(await lane.groupDevice(group, address));
  const buffer = await bench.export(device);
  assert.ok(await bench.alive(buffer));
  await shutsCharacterDeviceOut(bench, "EBUSY");
  assert.equal(await errnoOf(lane.openNode(node)), "EBUSY");
  await lane.resetDevice(device);
  assert.ok(await bench.alive(buffer), "a reset is a bounce");
  await lane.close(group);
  assert.equal(await errnoOf(opened(bench, node)), "done", "only a container keeps the group open");
  await lane.close(device);
  assert.ok(!await bench.alive(buffer));
}

async function opened(bench: Bench, node: string): Promise<void> {
  await bench.lane.close(await bench.lane.openNode(node));
}

async function groupRefused(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane } = bench;
  const { device } = await bench.bound();
  assert.equal(await errnoOf(lane.openNode(await bench.groupNode())), "EBUSY");
  const native = new Bench(context, context.devices.nativeNvme.address);
  assert.equal(await errnoOf(native.lane.openNode(await native.groupNode())), "ENOENT");
  const token = "00112233-4455-6677-8899-aabbccddeeff";
  await lane.close(device);
  const cdev = await bench.open(await context.vfioNode(bench.address));
  const iommufd = bench.keep(bench.kernel.openIommufd());
  assert.equal(await errnoOf(lane.bindIommufd(cdev, iommufd, token)), "EINVAL");
  await lane.bindIommufd(cdev, iommufd);
}

async function hotResets(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane } = bench;
  const { device } = await bench.bound();
  const info = await lane.hotResetInfo(device);
  assert.deepEqual(info.functions.map(({ address, owned }) => [address, owned]), [
    [bench.address, true],
  ]);
  assert.equal(info.allOwned, true);
  const buffer = await bench.export(device);
  assert.ok(await bench.alive(buffer));
  await lane.hotReset(device, []);
  assert.ok(await bench.alive(buffer), "a hot reset is a bounce");
}

async function hotResetsByGroup(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane, address } = bench;
  const group = await bench.open(await bench.groupNode());
  await lane.setContainer(group, bench.keep(bench.kernel.openIommufd()));
  const device = bench.keep(await lane.groupDevice(group, address));
  const info = await lane.hotResetInfo(device);
  const number = Number((await bench.groupNode()).split("/").at(-1));
  assert.equal(info.functions[0]?.group, number);
  const buffer = await bench.export(device);
  assert.equal(await errnoOf(lane.hotReset(device, [])), "EINVAL");
  await lane.hotReset(device, [group]);
  assert.ok(await bench.alive(buffer));
}

async function noHotReset(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.edu.address);
  const { device } = await bench.bound();
  assert.equal(await errnoOf(bench.lane.hotResetInfo(device)), "ENODEV");
}

async function holds(context: CaseContext): Promise<void> {
  const bench = new Bench(context, context.devices.nvme.address);
  const { lane } = bench;
  const { device } = await bench.bound();
  const buffer = await bench.export(device);
  await lane.enterLowPower(device);
  assert.ok(!await bench.alive(buffer), "low power revokes");
  assert.equal(await errnoOf(lane.enterLowPower(device)), "EINVAL");
  await lane.exitLowPower(device);
  assert.ok(await bench.alive(buffer), "its end validates");
  const pmcsr = await pmcsrOf(bench, device);
  await lane.writeRegion(device, CONFIG, pmcsr, new Uint8Array([3, 0]));
  assert.ok(!await bench.alive(buffer), "D3hot revokes");
  assert.ok(!await bench.alive(await bench.export(device)), "and what is exported then is dead");
  await lane.writeRegion(device, CONFIG, pmcsr, new Uint8Array([0, 0]));
  assert.ok(await bench.alive(buffer), "D0 validates");
}

/** Cases of the group route. */
export const cases: readonly LabCase[] = [
  {
    name: "port: by group and container a device is opened, exported from and closed",
    run: throughContainer,
  },
  { name: "port: by group and iommufd the same, without an IOAS of ours", run: throughIommufd },
  {
    name: "port: a group is refused while a device of it is bound, and a token",
    run: groupRefused,
  },
  { name: "port: a hot reset hits what its information says, and bounces", run: hotResets },
  { name: "port: a hot reset by the group route needs the group", run: hotResetsByGroup },
  { name: "port: a device of the root bus has no hot reset", run: noHotReset },
  { name: "port: low power and D3hot hold buffers revoked", run: holds },
];
