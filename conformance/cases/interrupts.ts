/** Interrupts that tell of events (drivers/vfio/pci/vfio_pci_intrs.c). @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { type Bench, type Bound, errnoOf } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

/** Somebody unbinds the driver, until the device is closed. */
async function unbound(bench: Bench, { device, facts }: Bound, work: () => Promise<void>) {
  bench.after(() => bench.outside.bind(facts.address));
  const { over } = await bench.outside.unbind(facts.address);
  await work();
  await bench.lane.close(device);
  await over;
}

function signalled(bench: Bench, fd: Fd): Promise<bigint> {
  return bench.ready(fd, () => bench.kernel.readEventFd(fd) || undefined);
}

const cases: readonly ConformanceCase[] = [
  ...(["request", "error"] as const).map((which): ConformanceCase => ({
    name: `The ${which} interrupt takes an eventfd, another in its place, and none`,
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const { lane, kernel } = bench;
      for (const what of ["first", "second"]) {
        await lane.armInterrupt(device, which, bench.keep(kernel.eventFd(what)));
      }
      await lane.armInterrupt(device, which, undefined);
      await lane.armInterrupt(device, which, undefined);
    },
  })),
  {
    name: "A device without PCI Express takes an error interrupt all the same",
    needs: ["engine"],
    async run(bench) {
      const { device } = await bench.bound("engine");
      await bench.lane.armInterrupt(device, "error", bench.keep(bench.kernel.eventFd("error")));
    },
  },
  {
    name: "An interrupt takes no file but an eventfd: EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { device, iommufd } = await bench.bound();
      assert.equal(await errnoOf(bench.lane.armInterrupt(device, "request", iommufd)), "EINVAL");
    },
  },
  {
    name: "An interrupt takes no descriptor of nothing: EBADF",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const given = bench.lane.armInterrupt(device, "request", bench.nothing());
      assert.equal(await errnoOf(given), "EBADF");
    },
  },
  {
    name: "Resets, holds and sysfs resets signal neither interrupt",
    needs: ["memory"],
    async run(bench) {
      const { device, facts } = await bench.bound();
      const fds = (["request", "error"] as const).map((which) =>
        [which, bench.keep(bench.kernel.eventFd(which))] as const
      );
      for (const [which, fd] of fds) await bench.lane.armInterrupt(device, which, fd);
      await bench.lane.resetDevice(device);
      await bench.lane.hotReset(device, []);
      await bench.writeCommand(device, 0);
      await bench.outside.reset(facts.address);
      for (const [, fd] of fds) assert.equal(bench.kernel.readEventFd(fd), 0n);
    },
  },
  {
    name: "An unbind signals the request interrupt, and not the error interrupt",
    needs: ["memory2"],
    async run(bench) {
      const bound = await bench.bound("memory2");
      const [request, error] = [
        bench.keep(bench.kernel.eventFd("request")),
        bench.keep(bench.kernel.eventFd("error")),
      ];
      await bench.lane.armInterrupt(bound.device, "request", request);
      await bench.lane.armInterrupt(bound.device, "error", error);
      await unbound(bench, bound, async () => {
        assert.equal(await signalled(bench, request), 1n);
        assert.equal(bench.kernel.readEventFd(error), 0n);
      });
    },
  },
  {
    name: "An interrupt has one eventfd: who arms it by a copy takes it from the owner",
    needs: ["memory2"],
    async run(bench) {
      const bound = await bench.bound("memory2", bench.iommufd(), true);
      const copy = bench.duplicate(bound.device);
      const [owners, takers] = [
        bench.keep(bench.kernel.eventFd("owner's")),
        bench.keep(bench.kernel.eventFd("taker's")),
      ];
      await bench.lane.armInterrupt(bound.device, "request", owners);
      await bench.lane.armInterrupt(copy, "request", takers);
      await unbound(bench, bound, async () => {
        assert.equal(await signalled(bench, takers), 1n);
        assert.equal(bench.kernel.readEventFd(owners), 0n);
        await bench.lane.close(copy);
      });
    },
  },
  {
    name: "An eventfd that was closed is signalled still, for who has a copy",
    needs: ["memory2"],
    async run(bench) {
      const bound = await bench.bound("memory2");
      const request = bench.keep(bench.kernel.eventFd("request"));
      await bench.lane.armInterrupt(bound.device, "request", request);
      const copy = bench.duplicate(request);
      bench.kernel.close(request);
      await unbound(bench, bound, async () => {
        assert.equal(await signalled(bench, copy), 1n);
      });
    },
  },
];

/** Cases of interrupts. */
export const subject: Subject = { title: "Interrupts that tell of events", cases };
