/** What the export answers (drivers/vfio/pci/vfio_pci_dmabuf.c). @module */
import assert from "node:assert/strict";
import type { DmaRange } from "../../engine/kernel.ts";
import { errnoOf, MOST, PAGE, range, SLICE } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";
import type { Role } from "../world.ts";

const CMB_BYTES = 0x100_0000n;

/** A row of the table of refusals. */
function refuses(
  errno: string,
  what: string,
  bar: number,
  ranges: readonly DmaRange[],
  role: Role = "memory",
): ConformanceCase {
  return {
    name: `An export of ${what} is refused with ${errno}`,
    needs: [role],
    async run(bench) {
      const { device } = await bench.bound(role);
      assert.equal(await bench.exporting(device, bar, ...ranges), errno);
    },
  };
}

function takes(
  what: string,
  bar: number,
  ranges: readonly DmaRange[],
  role: Role = "memory",
): ConformanceCase {
  return {
    name: `An export of ${what} is taken`,
    needs: [role],
    async run(bench) {
      const { device } = await bench.bound(role);
      const buffer = await bench.export(device, ranges, bar);
      const sum = ranges.reduce((size, { length }) => size + length, 0n);
      assert.equal(bench.facts(buffer).size, sum);
    },
  };
}

const BEYOND = range(CMB_BYTES, PAGE);
const OVERFLOWING = range(MOST - PAGE + 1n, PAGE);

const refusals: readonly ConformanceCase[] = [
  refuses("EINVAL", "no range", 2, []),
  refuses("EINVAL", "no range of a region that is no BAR", 7, []),
  refuses("EINVAL", "a range that starts inside a page", 2, [range(0x800n, PAGE)]),
  refuses("EINVAL", "a range that ends inside a page", 2, [range(0n, 0x800n)]),
  refuses("EINVAL", "an empty range", 2, [range(0n, 0n)]),
  refuses("EINVAL", "an empty range behind a good one", 2, [range(0n, PAGE), range(PAGE, 0n)]),
  refuses("EINVAL", "a range that ends past the BAR", 2, [range(CMB_BYTES - PAGE, 2n * PAGE)]),
  refuses("EINVAL", "a range that starts at the BAR's end", 2, [BEYOND]),
  refuses("EINVAL", "a range far past the BAR", 2, [range(1n << 40n, PAGE)]),
  refuses("EINVAL", "a second range past the BAR", 2, [range(0n, PAGE), BEYOND]),
  refuses("EINVAL", "more bytes than 64 bits count", 2, [
    range(0n, 1n << 63n),
    range(0n, 1n << 63n),
  ]),
  refuses("EINVAL", "2^63 bytes", 2, [range(0n, 1n << 63n)]),
  refuses("EOVERFLOW", "a range past the end of all addresses", 2, [OVERFLOWING]),
  refuses("EINVAL", "a range past all addresses and one inside a page", 2, [
    OVERFLOWING,
    range(0x800n, PAGE),
  ]),
  refuses("EOVERFLOW", "a range past all addresses and then one past the BAR", 2, [
    OVERFLOWING,
    BEYOND,
  ]),
  refuses("EINVAL", "a range past the BAR and then one past all addresses", 2, [
    BEYOND,
    OVERFLOWING,
  ]),
  refuses("ENODEV", "the upper half of a 64-bit BAR", 1, SLICE),
  refuses("ENODEV", "the upper half of the memory's BAR", 3, SLICE),
  refuses("ENODEV", "a BAR that is not there", 5, SLICE),
  refuses("ENODEV", "the expansion ROM", 6, SLICE),
  refuses("ENODEV", "config space", 7, SLICE),
  refuses("ENODEV", "the VGA region", 8, SLICE),
  refuses("ENODEV", "a region that no device has", 0xffff_ffff, SLICE),
  refuses("ENODEV", "a bad range of config space", 7, [range(0x800n, 0n)]),
  refuses("EINVAL", "a BAR of less than a page", 0, [range(0n, PAGE)], "plain"),
  refuses("EINVAL", "I/O ports", 4, [range(0n, PAGE)], "ports"),
  {
    name: "An export before the bind is refused with EINVAL",
    needs: ["memory"],
    async run(bench) {
      const { node } = await bench.device("memory");
      const device = await bench.open(node);
      assert.equal(await bench.exporting(device, 2, ...SLICE), "EINVAL");
    },
  },
  {
    name: "An export from a file that is no device is refused with ENOTTY",
    async run(bench) {
      const eventFd = bench.keep(bench.kernel.eventFd("no device"));
      assert.equal(await bench.exporting(eventFd, 2, ...SLICE), "ENOTTY");
      assert.equal(await bench.exporting(bench.iommufd(), 2, ...SLICE), "ENOTTY");
    },
  },
  {
    name: "An export from a dma-buf is refused with ENOTTY",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffer = await bench.export(device);
      assert.equal(await bench.exporting(buffer, 2, ...SLICE), "ENOTTY");
    },
  },
  {
    name: "An export from a descriptor of nothing is refused with EBADF",
    async run(bench) {
      assert.equal(await errnoOf(bench.lane.exportDmaBuf(bench.nothing(), 2, SLICE)), "EBADF");
    },
  },
];

const taken: readonly ConformanceCase[] = [
  takes("a whole BAR", 2, [range(0n, CMB_BYTES)]),
  takes("a BAR's last page", 2, [range(CMB_BYTES - PAGE, PAGE)]),
  takes("ranges out of order", 2, [range(0x3000n, PAGE), range(0n, 2n * PAGE)]),
  takes("a range twice", 2, [range(0n, PAGE), range(0n, PAGE)]),
  takes("ranges that overlap", 2, [range(0n, 2n * PAGE), range(PAGE, 2n * PAGE)]),
  takes("more than the BAR, in ranges that overlap", 2, [range(0n, CMB_BYTES), range(0n, PAGE)]),
  takes(
    "a thousand ranges",
    2,
    Array.from({ length: 1000 }, (_, n) => range(BigInt(n) * PAGE, PAGE)),
  ),
  takes("the page with the MSI-X table", 0, [range(0x2000n, PAGE)]),
  takes("the page with MSI-X's pending bits", 0, [range(0x3000n, PAGE)]),
  takes("memory of a device without a reset", 2, SLICE, "plain"),
  {
    name: "Two exports of one range are two buffers",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const [one, other] = [await bench.export(device), await bench.export(device)];
      assert.notEqual(bench.facts(one).inode, bench.facts(other).inode);
      await bench.lane.close(one);
      assert.ok(await bench.alive(other));
    },
  },
  {
    name: "A fresh buffer is alive, has one reference, no name, and is closed on exec",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffer = await bench.export(device);
      assert.ok(await bench.alive(buffer));
      const { inode: _, ...facts } = bench.facts(buffer);
      assert.deepEqual(facts, {
        size: 2n * PAGE,
        references: 1,
        exporter: "vfio_pci_core",
        closeOnExec: true,
      });
    },
  },
  {
    name: "A refused export leaves nothing behind",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      assert.equal(await bench.exporting(device, 2, BEYOND), "EINVAL");
      assert.deepEqual(bench.buffersOpen(), []);
    },
  },
  {
    name: "A hundred buffers of one device live together and die together",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffers = [];
      for (let count = 0; count < 100; count++) buffers.push(await bench.export(device));
      const [first, last] = [buffers.at(0), buffers.at(-1)];
      assert.ok(first !== undefined && last !== undefined);
      assert.ok(await bench.alive(first) && await bench.alive(last));
      await bench.lane.close(device);
      for (const buffer of buffers) assert.ok(!await bench.alive(buffer));
    },
  },
];

/** Cases of the export. */
export const subject: Subject = { title: "Export", cases: [...refusals, ...taken] };
