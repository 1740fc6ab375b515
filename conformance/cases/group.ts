/** Opening by the group (drivers/vfio/group.c, container.c). @module */
import assert from "node:assert/strict";
import { errnoOf } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

const TOKEN = "00112233-4455-6677-8899-aabbccddeeff";
const CONTAINER = "/dev/vfio/vfio";

const opening: readonly ConformanceCase[] = [
  {
    name: "A group opens once: EBUSY",
    needs: ["memory"],
    async run(bench) {
      const { group: node } = await bench.device("memory");
      const group = await bench.open(node);
      assert.equal(await errnoOf(bench.lane.openNode(node)), "EBUSY");
      await bench.lane.close(group);
      await bench.open(node);
    },
  },
  {
    name: "A group does not open while its device is bound by the character device: EBUSY",
    needs: ["memory"],
    async run(bench) {
      const { device, facts } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.openNode(facts.group)), "EBUSY");
      await bench.lane.close(device);
      await bench.open(facts.group);
    },
  },
  {
    name: "A group opens while the character device is open but not bound",
    needs: ["memory"],
    async run(bench) {
      const { node, group } = await bench.device("memory");
      await bench.open(node);
      await bench.open(group);
    },
  },
  {
    name: "A group is viable and has no container, until it has",
    needs: ["memory"],
    async run(bench) {
      const group = await bench.open((await bench.device("memory")).group);
      const { lane } = bench;
      assert.deepEqual(await lane.groupStatus(group), { viable: true, hasContainer: false });
      await lane.setContainer(group, bench.iommufd());
      assert.deepEqual(await lane.groupStatus(group), { viable: true, hasContainer: true });
    },
  },
  {
    name: "A group takes a container or an iommufd, nothing else: EBADFD",
    needs: ["memory"],
    async run(bench) {
      const group = await bench.open((await bench.device("memory")).group);
      const eventFd = bench.keep(bench.kernel.eventFd("no container"));
      assert.equal(await errnoOf(bench.lane.setContainer(group, eventFd)), "EBADFD");
      assert.equal(await errnoOf(bench.lane.setContainer(group, group)), "EBADFD");
    },
  },
  {
    name: "A group with a container takes no other, whatever it is: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { group } = await bench.group("memory", "container");
      const eventFd = bench.keep(bench.kernel.eventFd("no container"));
      for (const other of [await bench.open(CONTAINER), bench.iommufd(), eventFd]) {
        assert.equal(await errnoOf(bench.lane.setContainer(group, other)), "EINVAL");
      }
    },
  },
  {
    name: "A container without a group takes no IOMMU: EINVAL",
    async run(bench) {
      const container = await bench.open(CONTAINER);
      assert.equal(await errnoOf(bench.lane.setType1Iommu(container)), "EINVAL");
    },
  },
  {
    name: "A container takes one IOMMU: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { by } = await bench.group("memory", "container");
      assert.equal(await errnoOf(bench.lane.setType1Iommu(by)), "EINVAL");
    },
  },
  {
    name: "A container's IOMMU goes with the last group",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { group, by } = await bench.group("memory", "container");
      const second = await bench.open((await bench.device("memory2")).group);
      await bench.lane.setContainer(second, by);
      await bench.lane.close(group);
      assert.equal(await errnoOf(bench.groupDevice(second, "memory2")), "done");
    },
  },
  {
    name: "Groups of two devices share a container",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { group, by } = await bench.group("memory", "container");
      const second = await bench.open((await bench.device("memory2")).group);
      await bench.lane.setContainer(second, by);
      const devices = [
        await bench.groupDevice(group, "memory"),
        await bench.groupDevice(second, "memory2"),
      ];
      for (const device of devices) assert.ok(await bench.alive(await bench.export(device)));
    },
  },
  {
    name: "A file that is no group answers ENOTTY to what groups are asked",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.groupStatus(device)), "ENOTTY");
      const given = bench.lane.setContainer(device, bench.iommufd());
      assert.equal(await errnoOf(given), "ENOTTY");
    },
  },
];

const devices: readonly ConformanceCase[] = [
  {
    name: "A group without a container opens no device: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const group = await bench.open((await bench.device("memory")).group);
      assert.equal(await errnoOf(bench.groupDevice(group, "memory")), "EINVAL");
    },
  },
  {
    name: "A container without an IOMMU opens no device: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const group = await bench.open((await bench.device("memory")).group);
      await bench.lane.setContainer(group, await bench.open(CONTAINER));
      assert.equal(await errnoOf(bench.groupDevice(group, "memory")), "EINVAL");
    },
  },
  {
    name: "A device of another group is refused with ENODEV, before the container is looked at",
    needs: ["memory", "memory2"],
    async run(bench) {
      const group = await bench.open((await bench.device("memory")).group);
      assert.equal(await errnoOf(bench.groupDevice(group, "memory2")), "ENODEV");
      await bench.lane.setContainer(group, bench.iommufd());
      assert.equal(await errnoOf(bench.groupDevice(group, "memory2")), "ENODEV");
      assert.equal(await errnoOf(bench.lane.groupDevice(group, "0000:ff:00.0")), "ENODEV");
    },
  },
  {
    name: "By the group too, a VF token that nobody demands is refused with EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { group } = await bench.group("memory", "iommufd");
      assert.equal(await errnoOf(bench.groupDevice(group, "memory", TOKEN)), "EINVAL");
    },
  },
  ...(["container", "iommufd"] as const).flatMap((by): readonly ConformanceCase[] => [
    {
      name: `By group and ${by} a device opens, tells its address, and exports`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        const device = await bench.groupDevice(group, "memory");
        const { address } = await bench.device("memory");
        assert.equal(await bench.lane.deviceAddress(device), address);
        assert.deepEqual(await bench.lane.probeDmaBuf(device), { state: "present" });
        assert.ok(await bench.alive(await bench.export(device)));
      },
    },
    {
      name: `By group and ${by} a reset is a bounce, memory decode off a hold`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        const device = await bench.groupDevice(group, "memory");
        const buffer = await bench.export(device);
        await bench.lane.resetDevice(device);
        assert.ok(await bench.alive(buffer));
        await bench.writeCommand(device, 0);
        assert.ok(!await bench.alive(buffer));
      },
    },
    {
      name: `By group and ${by} a device opens twice, and its last close ends its buffers`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        const first = await bench.groupDevice(group, "memory");
        const second = await bench.groupDevice(group, "memory");
        const buffer = await bench.export(first);
        await bench.lane.close(first);
        assert.ok(await bench.alive(buffer));
        await bench.lane.close(second);
        assert.ok(!await bench.alive(buffer));
      },
    },
    {
      name: `By group and ${by} a second open changes nothing of what the first has set`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        const first = await bench.groupDevice(group, "memory");
        const buffer = await bench.export(first);
        await bench.writeCommand(first, 0);
        const second = await bench.groupDevice(group, "memory");
        assert.ok(!await bench.memoryOn(second));
        assert.ok(!await bench.alive(buffer));
        assert.ok(!await bench.alive(await bench.export(second)));
      },
    },
    {
      name: `By group and ${by} the character device is shut out: EBUSY`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        await bench.groupDevice(group, "memory");
        const cdev = await bench.open((await bench.device("memory")).node);
        assert.equal(await errnoOf(bench.lane.bindIommufd(cdev, bench.iommufd())), "EBUSY");
      },
    },
    {
      name: `By group and ${by} a device is not bound: EINVAL, nor attached: ENOTTY`,
      needs: ["memory"],
      async run(bench) {
        const { group } = await bench.group("memory", by);
        const device = await bench.groupDevice(group, "memory");
        assert.equal(await errnoOf(bench.lane.bindIommufd(device, bench.iommufd())), "EINVAL");
        assert.equal(await errnoOf(bench.lane.attachIoas(device, 1)), "ENOTTY");
      },
    },
  ]),
  {
    name: "With a container, a device keeps its group open",
    needs: ["memory"],
    async run(bench) {
      const { group } = await bench.group("memory", "container");
      const device = await bench.groupDevice(group, "memory");
      const buffer = await bench.export(device);
      await bench.lane.close(group);
      const { group: node } = await bench.device("memory");
      assert.equal(await errnoOf(bench.lane.openNode(node)), "EBUSY");
      assert.ok(await bench.alive(buffer));
      await bench.lane.close(device);
      await bench.open(node);
      assert.ok(!await bench.alive(buffer));
    },
  },
  {
    name: "With an iommufd, a device does not keep its group open, and lives on",
    needs: ["memory"],
    async run(bench) {
      const { group } = await bench.group("memory", "iommufd");
      const device = await bench.groupDevice(group, "memory");
      const buffer = await bench.export(device);
      await bench.lane.close(group);
      const again = await bench.open((await bench.device("memory")).group);
      assert.ok(await bench.alive(buffer));
      assert.equal(await errnoOf(bench.groupDevice(again, "memory")), "EINVAL");
      await bench.lane.close(device);
      assert.ok(!await bench.alive(buffer));
    },
  },
  {
    name: "A group with an iommufd makes an address space there, once",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { by } = await bench.group("memory", "iommufd");
      const second = await bench.open((await bench.device("memory2")).group);
      await bench.lane.setContainer(second, by);
      assert.equal(await bench.lane.ioasAlloc(by), 2);
    },
  },
  {
    name: "A group with an iommufd makes none where one was chosen",
    needs: ["memory"],
    async run(bench) {
      const iommufd = bench.iommufd();
      const ioas = await bench.lane.ioasAlloc(iommufd);
      await bench.lane.setCompatibleIoas(iommufd, ioas);
      const group = await bench.open((await bench.device("memory")).group);
      await bench.lane.setContainer(group, iommufd);
      assert.equal(await bench.lane.ioasAlloc(iommufd), ioas + 1);
      await bench.groupDevice(group, "memory");
      assert.equal(await errnoOf(bench.lane.iommuDestroy(iommufd, ioas)), "EBUSY");
    },
  },
  {
    name: "Only an address space that is there can be chosen: ENOENT",
    async run(bench) {
      assert.equal(await errnoOf(bench.lane.setCompatibleIoas(bench.iommufd(), 1)), "ENOENT");
    },
  },
  {
    name: "A group whose iommufd has lost the address space opens no device: ENODEV",
    needs: ["memory"],
    async run(bench) {
      const { group, by } = await bench.group("memory", "iommufd");
      await bench.lane.iommuDestroy(by, 1);
      assert.equal(await errnoOf(bench.groupDevice(group, "memory")), "ENODEV");
    },
  },
];

/** Cases of the group route. */
export const subject: Subject = { title: "The group route", cases: [...opening, ...devices] };
