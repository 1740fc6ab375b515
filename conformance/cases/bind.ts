/** Opening by the character device, and the objects of an iommufd. @module */
import assert from "node:assert/strict";
import { errnoOf, PAGE } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

const TOKEN = "00112233-4455-6677-8899-aabbccddeeff";

const binding: readonly ConformanceCase[] = [
  {
    name: "A node that is not there is refused with ENOENT",
    async run(bench) {
      assert.equal(await errnoOf(bench.lane.openNode("/dev/vfio/devices/vfio999")), "ENOENT");
    },
  },
  {
    name: "A character device opens as often as one likes",
    needs: ["memory"],
    async run(bench) {
      const { node } = await bench.device("memory");
      for (let count = 0; count < 3; count++) await bench.open(node);
    },
  },
  {
    name: "A bound descriptor is not bound again: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { device, iommufd } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, iommufd)), "EINVAL");
    },
  },
  {
    name: "An open device is not bound by another descriptor: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { iommufd, facts } = await bench.bound();
      const second = await bench.open(facts.node);
      assert.equal(await errnoOf(bench.lane.bindIommufd(second, iommufd)), "EINVAL");
      assert.equal(await errnoOf(bench.lane.bindIommufd(second, bench.iommufd())), "EINVAL");
    },
  },
  {
    name: "When an open device is closed, another descriptor of it can be bound",
    needs: ["memory"],
    async run(bench) {
      const { device, iommufd, facts } = await bench.bound();
      const second = await bench.open(facts.node);
      await bench.lane.close(device);
      assert.equal(await errnoOf(bench.lane.bindIommufd(second, iommufd)), "done");
    },
  },
  {
    name: "A bind to a file that is no iommufd is refused with EBADFD",
    needs: ["memory"],
    async run(bench) {
      const device = await bench.open((await bench.device("memory")).node);
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, eventFd)), "EBADFD");
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, bench.iommufd())), "done");
    },
  },
  {
    name: "A bind to a descriptor of nothing is refused with EBADF",
    needs: ["memory"],
    async run(bench) {
      const device = await bench.open((await bench.device("memory")).node);
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, bench.nothing())), "EBADF");
    },
  },
  {
    name: "That a descriptor is bound already is said before what is wrong with the iommufd",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, eventFd)), "EINVAL");
    },
  },
  {
    name: "What is wrong with the iommufd is said before that the device is open",
    needs: ["memory"],
    async run(bench) {
      const { facts } = await bench.bound();
      const second = await bench.open(facts.node);
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(second, eventFd)), "EBADFD");
    },
  },
  {
    name: "A VF token that nobody demands is refused with EINVAL, before the iommufd is looked at",
    needs: ["memory"],
    async run(bench) {
      const device = await bench.open((await bench.device("memory")).node);
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, eventFd, TOKEN)), "EINVAL");
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, bench.iommufd(), TOKEN)), "EINVAL");
    },
  },
  {
    name: "A bind while the group is open is refused with EBUSY, before all else",
    needs: ["memory"],
    async run(bench) {
      const { node, group } = await bench.device("memory");
      await bench.open(group);
      const device = await bench.open(node);
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, eventFd, TOKEN)), "EBUSY");
    },
  },
  {
    name: "A bind of a file that is no device is refused with ENOTTY",
    async run(bench) {
      const eventFd = bench.keep(bench.kernel.eventFd("no device"));
      assert.equal(await errnoOf(bench.lane.bindIommufd(eventFd, bench.iommufd())), "ENOTTY");
    },
  },
  {
    name: "Two devices can be bound to one iommufd",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { iommufd } = await bench.bound("memory");
      const { device } = await bench.bound("memory2", iommufd);
      assert.ok(await bench.alive(await bench.export(device)));
    },
  },
  {
    name: "An export needs no address space to be attached",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      assert.ok(await bench.alive(await bench.export(device)));
    },
  },
  {
    name: "An iommufd is told from other files",
    async run(bench) {
      const { lane, kernel } = bench;
      assert.equal(await lane.isIommufd(bench.iommufd()), true);
      assert.equal(await lane.isIommufd(bench.keep(kernel.eventFd("no iommufd"))), false);
    },
  },
];

const objects: readonly ConformanceCase[] = [
  {
    name: "Devices and address spaces of an iommufd share one sequence of ids, from 1",
    needs: ["memory"],
    async run(bench) {
      const { lane } = bench;
      const iommufd = bench.iommufd();
      const device = await bench.open((await bench.device("memory")).node);
      assert.equal(await lane.ioasAlloc(iommufd), 1);
      assert.equal(await lane.bindIommufd(device, iommufd), 2);
      assert.equal(await lane.ioasAlloc(iommufd), 3);
    },
  },
  {
    name: "The lowest free id is the next",
    async run(bench) {
      const { lane } = bench;
      const iommufd = bench.iommufd();
      for (const id of [1, 2, 3]) assert.equal(await lane.ioasAlloc(iommufd), id);
      await lane.iommuDestroy(iommufd, 2);
      assert.equal(await lane.ioasAlloc(iommufd), 2);
      assert.equal(await lane.ioasAlloc(iommufd), 4);
    },
  },
  {
    name: "The id of a device is free when it is closed",
    needs: ["memory"],
    async run(bench) {
      const { device, iommufd } = await bench.bound();
      assert.equal(await bench.lane.ioasAlloc(iommufd), 2);
      await bench.lane.close(device);
      assert.equal(await bench.lane.ioasAlloc(iommufd), 1);
    },
  },
  {
    name: "What is destroyed must be there: ENOENT",
    async run(bench) {
      const iommufd = bench.iommufd();
      assert.equal(await errnoOf(bench.lane.iommuDestroy(iommufd, 1)), "ENOENT");
      const ioas = await bench.lane.ioasAlloc(iommufd);
      await bench.lane.iommuDestroy(iommufd, ioas);
      assert.equal(await errnoOf(bench.lane.iommuDestroy(iommufd, ioas)), "ENOENT");
    },
  },
  {
    name: "A bound device's id is not destroyed: EBUSY",
    needs: ["memory"],
    async run(bench) {
      const { iommufd } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.iommuDestroy(iommufd, 1)), "EBUSY");
    },
  },
  {
    name: "An attached address space is not destroyed, nor its page table: EBUSY, until the close",
    needs: ["memory"],
    async run(bench) {
      const { lane } = bench;
      const { device, iommufd } = await bench.bound();
      const ioas = await lane.ioasAlloc(iommufd);
      await lane.attachIoas(device, ioas);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas)), "EBUSY");
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas + 1)), "EBUSY");
      await lane.close(device);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas + 1)), "ENOENT");
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas)), "done");
    },
  },
  {
    name: "The page table of an attached address space takes the next id",
    needs: ["memory"],
    async run(bench) {
      const { lane } = bench;
      const { device, iommufd } = await bench.bound();
      const ioas = await lane.ioasAlloc(iommufd);
      await lane.attachIoas(device, ioas);
      assert.equal(await lane.ioasAlloc(iommufd), ioas + 2);
    },
  },
  {
    name: "Devices of one address space share its page table",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { lane } = bench;
      const { device, iommufd } = await bench.bound("memory");
      const other = await bench.bound("memory2", iommufd);
      const ioas = await lane.ioasAlloc(iommufd);
      await lane.attachIoas(device, ioas);
      await lane.attachIoas(other.device, ioas);
      assert.equal(await lane.ioasAlloc(iommufd), ioas + 2);
      await lane.close(device);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas)), "EBUSY");
      await lane.close(other.device);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas)), "done");
    },
  },
  {
    name: "A device attached elsewhere leaves where it was",
    needs: ["memory"],
    async run(bench) {
      const { lane } = bench;
      const { device, iommufd } = await bench.bound();
      const [first, second] = [await lane.ioasAlloc(iommufd), await lane.ioasAlloc(iommufd)];
      await lane.attachIoas(device, first);
      await lane.attachIoas(device, second);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, first)), "done");
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, second)), "EBUSY");
    },
  },
  {
    name: "A device is attached only to what its iommufd has: ENOENT, and EINVAL for a device's id",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.attachIoas(device, 77)), "ENOENT");
      assert.equal(await errnoOf(bench.lane.attachIoas(device, 1)), "EINVAL");
    },
  },
  {
    name: "A page table's id attaches to its address space",
    needs: ["memory", "memory2"],
    async run(bench) {
      const { lane } = bench;
      const { device, iommufd } = await bench.bound("memory");
      const other = await bench.bound("memory2", iommufd);
      const ioas = await lane.ioasAlloc(iommufd);
      await lane.attachIoas(device, ioas);
      await lane.attachIoas(other.device, ioas + 1);
      await lane.close(device);
      assert.equal(await errnoOf(lane.iommuDestroy(iommufd, ioas)), "EBUSY");
    },
  },
  {
    name: "A bound device keeps its iommufd: what is mapped stays when its descriptor is closed",
    needs: ["memory", "memory2"],
    async run(bench) {
      const exporter = await bench.bound("memory2");
      const buffer = await bench.export(exporter.device);
      const { device, iommufd } = await bench.bound("memory");
      const ioas = await bench.lane.ioasAlloc(iommufd);
      await bench.map({ iommufd, ioas }, buffer);
      bench.kernel.close(iommufd);
      assert.equal(bench.references(buffer), 2);
      await bench.lane.close(device);
      assert.equal(bench.references(buffer), 1);
    },
  },
  {
    name: "Without a device, an iommufd's close takes what is mapped away",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffer = await bench.export(device);
      const { iommufd } = await bench.mapped(buffer, undefined, { length: PAGE });
      assert.equal(bench.references(buffer), 2);
      bench.kernel.close(iommufd);
      assert.equal(bench.references(buffer), 1);
    },
  },
  {
    name: "Each iommufd has address spaces of its own",
    async run(bench) {
      const [one, other] = [bench.iommufd(), bench.iommufd()];
      await bench.lane.ioasAlloc(one);
      assert.equal(await errnoOf(bench.lane.iommuDestroy(other, 1)), "ENOENT");
    },
  },
  {
    name: "A file that is no iommufd answers ENOTTY to what iommufds are asked",
    async run(bench) {
      const { lane } = bench;
      const eventFd = bench.keep(bench.kernel.eventFd("no iommufd"));
      assert.equal(await errnoOf(lane.ioasAlloc(eventFd)), "ENOTTY");
      assert.equal(await errnoOf(lane.iommuDestroy(eventFd, 1)), "ENOTTY");
      assert.equal(await errnoOf(lane.ioasUnmap(eventFd, 1, 0n, PAGE)), "ENOTTY");
    },
  },
];

/** Cases of opening by the character device. */
export const subject: Subject = {
  title: "Bind, and the objects of an iommufd",
  cases: [...binding, ...objects],
};
