/** Copies of descriptors, here, elsewhere and under way: what keeps a device open. @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { type Bench, errnoOf, PAGE } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

interface Ready {
  readonly device: Fd;
  readonly buffer: Fd;
}

/** A device whose descriptor can be given away, and a buffer. */
async function ready(bench: Bench): Promise<Ready> {
  const { device } = await bench.bound("memory", bench.iommufd(), true);
  return { device, buffer: await bench.export(device) };
}

function holds(
  name: string,
  run: (bench: Bench, ready: Ready) => Promise<void> | void,
): ConformanceCase {
  return {
    name,
    needs: ["memory"],
    run: async (bench) => {
      await run(bench, await ready(bench));
    },
  };
}

/** A descriptor on its way: nobody has received it. */
function underWay(bench: Bench, fd: Fd): { readonly ends: readonly Fd[] } {
  const ends = bench.kernel.socketPair("under way").map((end) => bench.keep(end));
  const [from] = ends;
  assert.ok(from !== undefined && bench.kernel.send(from, new Uint8Array(1), [fd]));
  return { ends };
}

const devices: readonly ConformanceCase[] = [
  holds("A copy of the device's descriptor keeps it open", async (bench, { device, buffer }) => {
    const copy = bench.duplicate(device);
    await bench.lane.close(device);
    assert.ok(await bench.alive(buffer));
    await bench.lane.close(copy);
    assert.ok(!await bench.alive(buffer));
  }),
  holds(
    "A copy in another process keeps it open, until that process ends",
    async (bench, { device, buffer }) => {
      const holder = bench.holder(device);
      await bench.lane.close(device);
      assert.ok(await bench.alive(buffer));
      await bench.end(holder);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds(
    "Two processes keep it open until the second has ended",
    async (bench, { device, buffer }) => {
      const holders = [bench.holder(device), bench.holder(device)] as const;
      await bench.lane.close(device);
      await bench.end(holders[0]);
      assert.ok(await bench.alive(buffer));
      await bench.end(holders[1]);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds(
    "A process that never had the device keeps nothing open",
    async (bench, { device, buffer }) => {
      bench.holder(buffer);
      await bench.lane.close(device);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds(
    "A descriptor that is sent and not received keeps it open",
    async (bench, { device, buffer }) => {
      const { ends } = underWay(bench, device);
      await bench.lane.close(device);
      assert.ok(await bench.alive(buffer));
      for (const end of ends) bench.kernel.close(end);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds(
    "A copy is the same open file: bound, with the same buffers",
    async (bench, { device, buffer }) => {
      const copy = bench.duplicate(device);
      assert.equal(await errnoOf(bench.lane.bindIommufd(copy, bench.iommufd())), "EINVAL");
      await bench.writeCommand(copy, 0);
      assert.ok(!await bench.alive(buffer));
      await bench.writeCommand(device, 2);
      assert.ok(await bench.alive(await bench.export(copy)));
    },
  ),
  holds(
    "A buffer that was exported from a copy outlives the copy, not the device",
    async (bench, { device }) => {
      const copy = bench.duplicate(device);
      const buffer = await bench.export(copy);
      await bench.lane.close(copy);
      assert.ok(await bench.alive(buffer));
      await bench.lane.close(device);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds(
    "A descriptor of the node that is not bound keeps nothing open",
    async (bench, { device, buffer }) => {
      await bench.open((await bench.device("memory")).node);
      await bench.lane.close(device);
      assert.ok(!await bench.alive(buffer));
    },
  ),
  holds("A copy is lent by a process only where it has one: EBADF", async (bench, { device }) => {
    const holder = bench.holder(device);
    const pidfd = bench.keep(bench.kernel.openProcess(holder.pid));
    const borrowing = () => bench.kernel.borrow(pidfd, 999, "none");
    assert.equal(await errnoOf(borrowing), "EBADF");
  }),
  holds("Nothing is borrowed from a process that has ended: ESRCH", async (bench, { device }) => {
    const holder = bench.holder(device);
    const pidfd = bench.keep(bench.kernel.openProcess(holder.pid));
    await bench.end(holder);
    assert.equal(await errnoOf(() => bench.kernel.borrow(pidfd, 3, "none")), "ESRCH");
  }),
];

const buffers: readonly ConformanceCase[] = [
  holds("A copy of a buffer's descriptor is a reference", (bench, { buffer }) => {
    const copy = bench.duplicate(buffer);
    assert.equal(bench.references(buffer), 2);
    assert.equal(bench.facts(copy).inode, bench.facts(buffer).inode);
    bench.kernel.close(copy);
    assert.equal(bench.references(buffer), 1);
  }),
  holds(
    "A buffer in another process is a reference, until that process ends",
    async (bench, { buffer }) => {
      const holder = bench.holder(buffer);
      assert.equal(bench.references(buffer), 2);
      await bench.end(holder);
      assert.equal(bench.references(buffer), 1);
    },
  ),
  holds("A buffer that is sent and not received is a reference", (bench, { buffer }) => {
    const { ends } = underWay(bench, buffer);
    assert.equal(bench.references(buffer), 2);
    for (const end of ends) bench.kernel.close(end);
    assert.equal(bench.references(buffer), 1);
  }),
  holds(
    "A buffer does not keep the device open, however often it is mapped",
    async (bench, { device, buffer }) => {
      await bench.mapped(buffer);
      await bench.lane.close(device);
      assert.ok(!await bench.alive(buffer));
      await bench.bound();
    },
  ),
  holds(
    "A buffer's close leaves the device and other buffers as they are",
    async (bench, { device, buffer }) => {
      const other = await bench.export(device);
      await bench.lane.close(buffer);
      assert.ok(await bench.alive(other));
      await bench.lane.resetDevice(device);
      assert.ok(await bench.alive(other));
    },
  ),
  holds(
    "Any holder names a buffer, any time, for all; it stays the same buffer",
    async (bench, { device, buffer }) => {
      const copy = bench.duplicate(buffer);
      const { inode } = bench.facts(buffer);
      bench.kernel.setDmaBufName(buffer, "one");
      assert.equal(bench.facts(copy).name, "one");
      await bench.mapped(buffer);
      bench.kernel.setDmaBufName(copy, "two");
      await bench.lane.close(device);
      bench.kernel.setDmaBufName(copy, "three");
      assert.deepEqual([bench.facts(buffer).name, bench.facts(buffer).inode], ["three", inode]);
    },
  ),
  holds("A name has at most 31 bytes: EINVAL", async (bench, { buffer }) => {
    bench.kernel.setDmaBufName(buffer, "x".repeat(31));
    const naming = (name: string) => errnoOf(() => bench.kernel.setDmaBufName(buffer, name));
    assert.equal(await naming("y".repeat(32)), "EINVAL");
    assert.equal(await naming("ä".repeat(16)), "EINVAL");
    assert.equal(bench.facts(buffer).name, "x".repeat(31));
  }),
  holds("Only a dma-buf has facts: EINVAL", async (bench) => {
    const eventFd = bench.keep(bench.kernel.eventFd("no dma-buf"));
    assert.equal(await errnoOf(() => bench.kernel.dmaBufFacts(eventFd)), "EINVAL");
  }),
  holds("Only a dma-buf is named: ENOTTY", async (bench) => {
    const eventFd = bench.keep(bench.kernel.eventFd("no dma-buf"));
    assert.equal(await errnoOf(() => bench.kernel.setDmaBufName(eventFd, "x")), "ENOTTY");
  }),
  holds("A buffer's size and inode stay when it is revoked", async (bench, { device, buffer }) => {
    const { size, inode } = bench.facts(buffer);
    await bench.lane.close(device);
    const after = bench.facts(buffer);
    assert.deepEqual([after.size, after.inode, size], [size, inode, 2n * PAGE]);
  }),
  holds("An inode is never used again", async (bench, { device, buffer }) => {
    const { inode } = bench.facts(buffer);
    await bench.lane.close(buffer);
    for (let count = 0; count < 10; count++) {
      const next = await bench.export(device);
      assert.ok(bench.facts(next).inode > inode);
      await bench.lane.close(next);
    }
  }),
];

/** Cases of copies. */
export const subject: Subject = {
  title: "Copies, closes and names",
  cases: [...devices, ...buffers],
};
