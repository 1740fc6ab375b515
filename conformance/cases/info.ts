/** What a device tells of itself, and how its regions are read (drivers/vfio/pci). @module */
import assert from "node:assert/strict";
import { CONFIG, errnoOf, MEMORY, PAGE } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";
import type { Role } from "../world.ts";

function regionHas(role: Role, index: number, size: bigint, what: string): ConformanceCase {
  return {
    name: `Region info: ${what}`,
    needs: [role],
    async run(bench) {
      const { device } = await bench.bound(role);
      const info = await bench.lane.regionInfo(device, index);
      assert.equal(info.size, size);
      assert.equal(info.offset, BigInt(index) << 40n);
      assert.equal(info.flags.read, size > 0n);
    },
  };
}

const cases: readonly ConformanceCase[] = [
  ...([["memory", true], ["plain", false], ["engine", false]] as const).map(
    ([role, reset]): ConformanceCase => ({
      name: `Device info of "${role}": ${
        reset ? "a" : "no"
      } function reset, 9 regions, 5 interrupts`,
      needs: [role],
      async run(bench) {
        const { device } = await bench.bound(role);
        assert.deepEqual(await bench.lane.deviceInfo(device), {
          flags: { reset, pci: true },
          regions: 9,
          interrupts: 5,
        });
      },
    }),
  ),
  regionHas("memory", 2, 0x100_0000n, "the memory's BAR has 16 MiB"),
  regionHas("memory", 0, 0x4000n, "the registers' BAR has 16 KiB"),
  regionHas("memory", 1, 0n, "the upper half of a 64-bit BAR has no size"),
  regionHas("memory", 5, 0n, "a BAR that is not there has no size"),
  regionHas("plain", 0, 256n, "a BAR of 256 bytes has 256 bytes"),
  regionHas("memory", 7, 4096n, "config space of PCI Express has 4096 bytes"),
  regionHas("engine", 7, 256n, "config space of conventional PCI has 256 bytes"),
  {
    name: "Region info: the BAR with the MSI-X table can be mapped, table included",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const [table, memory] = [
        await bench.lane.regionInfo(device, 0),
        await bench.lane.regionInfo(device, 2),
      ];
      assert.deepEqual([table.flags.mmap, table.capabilities], [true, [3]]);
      assert.deepEqual([memory.flags.mmap, memory.capabilities], [true, []]);
    },
  },
  {
    name: "Region info of a region that is not there is refused with EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      for (const index of [8, 9, 1000]) {
        assert.equal(await errnoOf(bench.lane.regionInfo(device, index)), "EINVAL");
      }
    },
  },
  {
    name: "Before the bind every question is refused with EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { lane } = bench;
      const device = await bench.open((await bench.device("memory")).node);
      const bytes = new Uint8Array(2);
      const asked: readonly Promise<unknown>[] = [
        lane.deviceInfo(device),
        lane.regionInfo(device, 0),
        lane.readRegion(device, CONFIG, 0n, 4),
        lane.writeRegion(device, CONFIG, 4n, bytes),
        lane.resetDevice(device),
        lane.hotResetInfo(device),
        lane.hotReset(device, []),
        lane.enterLowPower(device),
        lane.exitLowPower(device),
        lane.armInterrupt(device, "request", undefined),
        lane.attachIoas(device, 1),
      ];
      for (const answer of await Promise.all(asked.map((call) => errnoOf(call)))) {
        assert.equal(answer, "EINVAL");
      }
    },
  },
  {
    name: "The probe says that the feature is present, and makes nothing",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      assert.deepEqual(await bench.lane.probeDmaBuf(device), { state: "present" });
      assert.deepEqual(bench.buffersOpen(), []);
    },
  },
  {
    name: "The probe of a device without a BAR that can be exported says present too",
    needs: ["engine"],
    async run(bench) {
      const { device } = await bench.bound("engine");
      assert.deepEqual(await bench.lane.probeDmaBuf(device), { state: "present" });
    },
  },
  {
    name: "The probe of a device that is not bound is broken: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const device = await bench.open((await bench.device("memory")).node);
      const expected = { state: "broken", errnoName: "EINVAL" } as const;
      assert.deepEqual(await bench.lane.probeDmaBuf(device), expected);
    },
  },
  {
    name: "A device's descriptor tells its address, bound or not; another file tells none",
    needs: ["memory"],
    async run(bench) {
      const { address, node } = await bench.device("memory");
      const device = await bench.open(node);
      assert.equal(await bench.lane.deviceAddress(device), address);
      await bench.lane.bindIommufd(device, bench.iommufd());
      assert.equal(await bench.lane.deviceAddress(device), address);
      assert.equal(await bench.lane.deviceAddress(bench.iommufd()), undefined);
    },
  },
  {
    name: "Config space beyond its end is refused with EFAULT",
    needs: ["engine"],
    async run(bench) {
      const { device } = await bench.bound("engine");
      assert.equal(await errnoOf(bench.lane.readRegion(device, CONFIG, 256n, 4)), "EFAULT");
    },
  },
  {
    name: "A BAR is read to its end, and beyond it refused with EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const at = 0x100_0000n;
      assert.equal((await bench.lane.readRegion(device, 2, at - 8n, 8)).length, 8);
      assert.equal(await errnoOf(bench.lane.readRegion(device, 2, at, 8)), "EINVAL");
      assert.equal(await errnoOf(bench.lane.readRegion(device, 5, 0n, 8)), "EINVAL");
    },
  },
  {
    name: "A BAR is not read nor written while memory decode is off: EIO",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.writeCommand(device, 0);
      assert.equal(await errnoOf(bench.lane.readRegion(device, 2, PAGE, 8)), "EIO");
      const bytes = new Uint8Array(8);
      assert.equal(await errnoOf(bench.lane.writeRegion(device, 2, PAGE, bytes)), "EIO");
      await bench.writeCommand(device, MEMORY);
      assert.equal(await errnoOf(bench.lane.readRegion(device, 2, PAGE, 8)), "done");
    },
  },
  {
    name: "A BAR is not read in D3hot: EIO",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.setPowerState(device, 3);
      assert.equal(await errnoOf(bench.lane.readRegion(device, 2, PAGE, 8)), "EIO");
    },
  },
  {
    name: "A device opens with memory decode on, also when it was closed with it off",
    needs: ["memory"],
    async run(bench) {
      const first = await bench.bound();
      assert.ok(await bench.memoryOn(first.device));
      await bench.writeCommand(first.device, 0);
      assert.ok(!await bench.memoryOn(first.device));
      await bench.lane.close(first.device);
      const second = await bench.bound();
      assert.ok(await bench.memoryOn(second.device));
      assert.ok(await bench.alive(await bench.export(second.device)));
    },
  },
  {
    name: "A device opens in D0, also when it was closed in D3hot",
    needs: ["memory"],
    async run(bench) {
      const first = await bench.bound();
      await bench.setPowerState(first.device, 3);
      await bench.lane.close(first.device);
      const second = await bench.bound();
      assert.ok(await bench.alive(await bench.export(second.device)));
    },
  },
];

/** Cases of what a device tells. */
export const subject: Subject = { title: "What a device tells", cases };
