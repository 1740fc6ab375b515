/** Resets of slot and bus (vfio_pci_dev_set_hot_reset). @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { type Bench, errnoOf } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

const single: readonly ConformanceCase[] = [
  {
    name: "By the character device, hot reset info names the functions and who owns them",
    needs: ["memory"],
    async run(bench) {
      const { device, facts } = await bench.bound();
      assert.deepEqual(await bench.lane.hotResetInfo(device), {
        functions: [{ address: facts.address, owned: true, deviceId: 1 }],
        allOwned: true,
      });
    },
  },
  {
    name: "By the group, hot reset info names the functions' groups",
    needs: ["memory"],
    async run(bench) {
      const { group: node, address } = await bench.device("memory");
      const { group } = await bench.group("memory", "iommufd");
      const device = await bench.groupDevice(group, "memory");
      const number = Number(node.split("/").at(-1));
      assert.deepEqual(await bench.lane.hotResetInfo(device), {
        functions: [{ address, group: number }],
      });
    },
  },
  {
    name: "A device of the root bus has no hot reset: ENODEV",
    needs: ["engine"],
    async run(bench) {
      const { device } = await bench.bound("engine");
      assert.equal(await errnoOf(bench.lane.hotResetInfo(device)), "ENODEV");
      assert.equal(await errnoOf(bench.lane.hotReset(device, [])), "ENODEV");
    },
  },
  {
    name: "By the character device a hot reset takes no group: EINVAL, before ENODEV",
    needs: ["engine", "plain"],
    async run(bench) {
      const { device } = await bench.bound("engine");
      const group = await bench.open((await bench.device("plain")).group);
      assert.equal(await errnoOf(bench.lane.hotReset(device, [group])), "EINVAL");
    },
  },
  {
    name: "By the group a hot reset needs the group: EINVAL",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { group } = await bench.group("memory", "iommufd");
      const other = await bench.open((await bench.device("memory2")).group);
      const device = await bench.groupDevice(group, "memory");
      const { lane } = bench;
      assert.equal(await errnoOf(lane.hotReset(device, [])), "EINVAL");
      assert.equal(await errnoOf(lane.hotReset(device, [other])), "EINVAL");
      assert.equal(await errnoOf(lane.hotReset(device, [group, other])), "EINVAL");
      assert.equal(await errnoOf(lane.hotReset(device, [device])), "EINVAL");
      assert.equal(await errnoOf(lane.hotReset(device, [group])), "done");
    },
  },
  {
    name: "A hot reset by the group bounces",
    needs: ["memory"],
    async run(bench) {
      const { address } = await bench.device("memory");
      const { group } = await bench.group("memory", "iommufd");
      const device = await bench.groupDevice(group, "memory");
      const buffer = await bench.export(device);
      const moves = await bench.moves(address, () => bench.lane.hotReset(device, [group]));
      assert.equal(moves, "revoke restore");
      assert.ok(await bench.alive(buffer));
    },
  },
];

/** What the information of a hot reset says of each function, and of all. */
async function ownership(bench: Bench, device: Fd): Promise<readonly unknown[]> {
  const { functions, allOwned } = await bench.lane.hotResetInfo(device);
  return [...functions.map(({ owned, deviceId }) => [owned, deviceId !== undefined]), allOwned];
}

const MINE = [true, true];
const THROUGH_THE_GROUP = [true, false];
const NOBODYS = [false, false];

function pairs(name: string, run: (bench: Bench) => Promise<void>): ConformanceCase {
  return { name, needs: ["pair0", "pair1"], run };
}

const pair: readonly ConformanceCase[] = [
  pairs("Who owns one function of a group owns those that nobody has open", async (bench) => {
    const { device, iommufd } = await bench.bound("pair0");
    assert.deepEqual(await ownership(bench, device), [MINE, THROUGH_THE_GROUP, true]);
    await bench.bound("pair1", iommufd);
    assert.deepEqual(await ownership(bench, device), [MINE, MINE, true]);
  }),
  pairs("A function of a group that another iommufd owns is not bound: EPERM", async (bench) => {
    await bench.bound("pair0");
    const other = await bench.open((await bench.device("pair1")).node);
    assert.equal(await errnoOf(bench.lane.bindIommufd(other, bench.iommufd())), "EPERM");
  }),
  pairs(
    "That a device is open is said before that its group is another's: EINVAL",
    async (bench) => {
      const { facts } = await bench.bound("pair0");
      const other = await bench.open(facts.node);
      assert.equal(await errnoOf(bench.lane.bindIommufd(other, bench.iommufd())), "EINVAL");
    },
  ),
  pairs("A hot reset bounces the buffers of all functions", async (bench) => {
    const one = await bench.bound("pair0");
    const other = await bench.bound("pair1", one.iommufd);
    const buffers = [await bench.export(one.device), await bench.export(other.device)];
    const reset = () => bench.lane.hotReset(one.device, []);
    assert.equal(await bench.moves(other.facts.address, reset), "revoke restore");
    for (const buffer of buffers) assert.ok(await bench.alive(buffer));
  }),
  pairs("A hot reset through one function leaves another held that was held", async (bench) => {
    const one = await bench.bound("pair0");
    const other = await bench.bound("pair1", one.iommufd);
    const held = await bench.export(one.device);
    await bench.writeCommand(one.device, 0);
    await bench.lane.hotReset(other.device, []);
    assert.ok(!await bench.alive(held));
    assert.ok(await bench.alive(await bench.export(other.device)));
  }),
  pairs("A hot reset revokes what nobody has open, and restores it not", async (bench) => {
    const one = await bench.bound("pair0");
    const { address } = await bench.device("pair1");
    const moves = await bench.moves(address, () => bench.lane.hotReset(one.device, []));
    assert.equal(moves, "revoke");
  }),
  pairs(
    "A hot reset beside a function without a VFIO driver is refused with EINVAL",
    async (bench) => {
      const { address } = await bench.device("pair0");
      const { device } = await bench.bound("pair1");
      bench.after(() => bench.outside.bind(address));
      await (await bench.outside.unbind(address)).over;
      assert.deepEqual(await ownership(bench, device), [NOBODYS, MINE, false]);
      assert.equal(await errnoOf(bench.lane.hotReset(device, [])), "EINVAL");
    },
  ),
  pairs("A reset of one function leaves the other's buffers alone", async (bench) => {
    const one = await bench.bound("pair0");
    const other = await bench.bound("pair1", one.iommufd);
    await bench.export(other.device);
    const reset = () => bench.lane.resetDevice(one.device);
    assert.equal(await bench.moves(other.facts.address, reset), "");
  }),
];

/** Cases of hot resets. */
export const subject: Subject = { title: "Hot resets", cases: [...single, ...pair] };
