/** Functions that are reset together, on the real kernel. @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { bind } from "../guest/setup.ts";
import { Bench, errnoOf } from "./port_bench.ts";

const CONFIG = 7;
const COMMAND = 4n;
const MEMORY = 0x2;

function benches({ devices, ...context }: CaseContext): readonly [Bench, Bench] {
  const whole = { devices, ...context };
  return [new Bench(whole, devices.dual0.address), new Bench(whole, devices.dual1.address)];
}

async function memoryOff({ lane }: Bench, device: Fd): Promise<void> {
  const [low = 0, high = 0] = await lane.readRegion(device, CONFIG, COMMAND, 2);
  await lane.writeRegion(device, CONFIG, COMMAND, new Uint8Array([low & ~MEMORY, high]));
}

/** What the information of a hot reset says of each function. */
async function ownership({ lane }: Bench, device: Fd): Promise<readonly unknown[]> {
  const { functions, allOwned } = await lane.hotResetInfo(device);
  const each = functions.map(({ owned, deviceId }) => [owned, deviceId !== undefined]);
  return [...each, allOwned];
}

async function oneGroup(context: CaseContext): Promise<void> {
  const [one, two] = benches(context);
  assert.equal(await one.groupNode(), await two.groupNode());
  const { device, iommufd } = await one.bound();
  const buffer = await one.export(device);
  assert.deepEqual(await ownership(one, device), [[true, true], [true, false], true]);
  await one.lane.hotReset(device, []);
  assert.ok(await one.alive(buffer));
  const other = await two.open(await context.vfioNode(two.address));
  const stranger = two.keep(two.kernel.openIommufd());
  assert.equal(await errnoOf(two.lane.bindIommufd(other, stranger)), "EPERM");
  await two.lane.bindIommufd(other, iommufd);
  assert.deepEqual(await ownership(one, device), [[true, true], [true, true], true]);
}

async function held(context: CaseContext): Promise<void> {
  const [one, two] = benches(context);
  const { device, iommufd } = await one.bound();
  const other = await two.open(await context.vfioNode(two.address));
  await two.lane.bindIommufd(other, iommufd);
  const [kept, bounced] = [await one.export(device), await two.export(other)];
  await memoryOff(one, device);
  const begun = performance.now();
  await two.lane.hotReset(other, []);
  context.figure("hot reset of two functions, ms", Math.round(performance.now() - begun));
  assert.ok(!await one.alive(kept), "held over the reset that another function was asked for");
  assert.ok(await two.alive(bounced));
}

async function notOwned(context: CaseContext): Promise<void> {
  const [one, two] = benches(context);
  const { device } = await two.bound();
  context.defer(() => bind(context.devices.dual0));
  await Deno.writeTextFile("/sys/bus/pci/drivers/vfio-pci/unbind", one.address);
  assert.deepEqual(await ownership(two, device), [[false, false], [true, true], false]);
  assert.equal(await errnoOf(two.lane.hotReset(device, [])), "EINVAL");
}

/** Cases of functions that are reset together. */
export const cases: readonly LabCase[] = [
  {
    name: "port: who owns a group hot-resets its functions that nobody has open",
    run: oneGroup,
  },
  { name: "port: what is held stays revoked over a hot reset through its neighbour", run: held },
  { name: "port: a hot reset is refused beside a function without a VFIO driver", run: notOwned },
];
