/** Importing by iommufd (drivers/iommu/iommufd/ioas.c, io_pagetable.c, pages.c). @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { type Bench, errnoOf, type Mapped, MEMORY, MOST, PAGE, range } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

/** A buffer of two pages, and an address space. */
interface Ready extends Mapped {
  readonly device: Fd;
  readonly buffer: Fd;
}

async function ready(bench: Bench): Promise<Ready> {
  const { device } = await bench.bound();
  const buffer = await bench.export(device);
  const iommufd = bench.iommufd();
  return { device, buffer, iommufd, ioas: await bench.lane.ioasAlloc(iommufd), iova: 0n };
}

function holds(name: string, run: (bench: Bench, ready: Ready) => Promise<void>): ConformanceCase {
  return { name, needs: ["memory"], run: async (bench) => run(bench, await ready(bench)) };
}

type Part = { readonly start?: bigint; readonly length?: bigint };

/** A row of the refusals of `IOMMU_IOAS_MAP_FILE`. */
function refuses(errno: string, what: string, iova: bigint | undefined, part: Part) {
  return holds(`A mapping of ${what} is refused with ${errno}`, async (bench, at) => {
    assert.equal(await errnoOf(bench.map(at, at.buffer, iova, part)), errno);
    assert.equal(bench.references(at.buffer), 1);
  });
}

const mapping: readonly ConformanceCase[] = [
  refuses("EINVAL", "no bytes", undefined, { length: 0n }),
  refuses("EINVAL", "a byte past the buffer", undefined, { length: 2n * PAGE + 1n }),
  refuses("EINVAL", "what starts at the buffer's end", undefined, { start: 2n * PAGE, length: 1n }),
  refuses("EINVAL", "a part that ends past the buffer", undefined, {
    start: PAGE,
    length: 2n * PAGE,
  }),
  refuses("EOVERFLOW", "a part that ends past 64 bits", undefined, { start: MOST, length: 2n }),
  refuses("EOVERFLOW", "2^64-1 bytes", undefined, { length: MOST }),
  refuses("EOVERFLOW", "the buffer at the last IOVA", MOST, {}),
  refuses("EOVERFLOW", "the buffer at an IOVA past whose end it goes", MOST - PAGE, {}),
  holds(
    "A mapping in an address space that is not there is refused with ENOENT",
    async (bench, at) => {
      const nowhere = { ...at, ioas: 77 };
      assert.equal(await errnoOf(bench.map(nowhere, at.buffer)), "ENOENT");
      assert.equal(
        await errnoOf(bench.map(nowhere, at.buffer, undefined, { length: 0n })),
        "ENOENT",
      );
      assert.equal(await errnoOf(bench.map(nowhere, at.buffer, MOST)), "EOVERFLOW");
    },
  ),
  {
    name: "A mapping in what is no address space is refused with ENOENT",
    needs: ["memory"],
    async run(bench) {
      const { device, iommufd } = await bench.bound();
      const buffer = await bench.export(device);
      assert.equal(await errnoOf(bench.map({ iommufd, ioas: 1 }, buffer)), "ENOENT");
    },
  },
  holds("A mapping of a descriptor of nothing is refused with EBADF", async (bench, at) => {
    assert.equal(await errnoOf(bench.map(at, bench.nothing())), "EBADF");
  }),
  holds("A mapping where something is mapped is refused with EEXIST", async (bench, at) => {
    await bench.map(at, at.buffer, 0x10_0000n);
    for (const iova of [0x10_0000n, 0x10_1000n, 0xf_f000n, 0x10_0001n]) {
      assert.equal(await errnoOf(bench.map(at, at.buffer, iova)), "EEXIST");
    }
    assert.equal(await bench.map(at, at.buffer, 0x10_2000n), 0x10_2000n);
    assert.equal(await bench.map(at, at.buffer, 0xf_e000n), 0xf_e000n);
  }),
  holds("A mapping of a revoked buffer is refused with ENODEV", async (bench, at) => {
    await bench.writeCommand(at.device, 0);
    assert.equal(await errnoOf(bench.map(at, at.buffer)), "ENODEV");
  }),
  holds("That a buffer is revoked is said before that the IOVA is taken", async (bench, at) => {
    await bench.map(at, at.buffer, 0x10_0000n);
    await bench.writeCommand(at.device, 0);
    assert.equal(await errnoOf(bench.map(at, at.buffer, 0x10_0000n)), "ENODEV");
  }),
  holds("That a buffer is too short is said before that it is revoked", async (bench, at) => {
    await bench.writeCommand(at.device, 0);
    assert.equal(
      await errnoOf(bench.map(at, at.buffer, undefined, { length: 3n * PAGE })),
      "EINVAL",
    );
  }),
  holds(
    "A buffer of several ranges is refused with EOPNOTSUPP, contiguous or not",
    async (bench, at) => {
      const apart = await bench.export(at.device, [range(0n, PAGE), range(0x3000n, PAGE)]);
      const together = await bench.export(at.device, [range(0n, PAGE), range(PAGE, PAGE)]);
      for (const buffer of [apart, together]) {
        assert.equal(
          await errnoOf(bench.map(at, buffer, undefined, { length: PAGE })),
          "EOPNOTSUPP",
        );
      }
    },
  ),
  holds("That a buffer is revoked is said before that it has several ranges", async (bench, at) => {
    const buffer = await bench.export(at.device, [range(0n, PAGE), range(0x3000n, PAGE)]);
    await bench.writeCommand(at.device, 0);
    assert.equal(await errnoOf(bench.map(at, buffer)), "ENODEV");
  }),
  holds("Each mapping is a reference to the buffer, until it is unmapped", async (bench, at) => {
    const first = await bench.map(at, at.buffer);
    assert.equal(bench.references(at.buffer), 2);
    const second = await bench.map(at, at.buffer);
    assert.equal(bench.references(at.buffer), 3);
    await bench.unmap(at, first);
    assert.equal(bench.references(at.buffer), 2);
    await bench.unmap(at, second);
    assert.equal(bench.references(at.buffer), 1);
  }),
  holds("A buffer's descriptor may be closed while it is mapped", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    await bench.lane.close(at.buffer);
    await bench.lane.resetDevice(at.device);
    assert.equal(await bench.unmap(at, iova), 2n * PAGE);
  }),
  holds(
    "A mapping in no device's address space may start and end inside a page",
    async (bench, at) => {
      const part = { start: 0x10n, length: 0x20n };
      assert.equal(await bench.map(at, at.buffer, undefined, part), 0x1010n);
      assert.equal(await bench.map(at, at.buffer, 0x7n, part), 0x7n);
    },
  ),
  holds(
    "A file that is no dma-buf can be mapped while no device is attached",
    async (bench, at) => {
      const eventFd = bench.keep(bench.kernel.eventFd("no dma-buf"));
      assert.equal(await errnoOf(bench.map(at, eventFd)), "done");
    },
  ),
];

const places: readonly ConformanceCase[] = [
  holds("The kernel chooses the lowest hole, from the second page on", async (bench, at) => {
    assert.equal(await bench.map(at, at.buffer), 0x1000n);
    assert.equal(await bench.map(at, at.buffer), 0x3000n);
    await bench.unmap(at, 0x1000n);
    assert.equal(await bench.map(at, at.buffer, undefined, { length: PAGE }), 0x1000n);
    assert.equal(await bench.map(at, at.buffer), 0x5000n);
    assert.equal(await bench.map(at, at.buffer, undefined, { length: PAGE }), 0x2000n);
  }),
  holds("The kernel never chooses IOVA 0; who asks for it gets it", async (bench, at) => {
    assert.equal(await bench.map(at, at.buffer, 0n, { length: PAGE }), 0n);
    assert.equal(await bench.map(at, at.buffer), 0x1000n);
  }),
  holds("The kernel aligns its choice as the part of the buffer is aligned", async (bench, at) => {
    const part = { start: 0x1008n, length: 8n };
    assert.equal(await bench.map(at, at.buffer, undefined, part), 0x1008n);
    assert.equal(await bench.map(at, at.buffer, undefined, part), 0x1018n);
    assert.equal(await bench.map(at, at.buffer), 0x2000n);
  }),
];

const attached: readonly ConformanceCase[] = ([
  ["a misaligned IOVA is refused with EINVAL", 0x10_0800n, {}, "EINVAL"],
  ["a length that is no page is refused with EINVAL", 0x10_0000n, { length: 0x800n }, "EINVAL"],
  ["a part that starts inside a page is refused with EINVAL", 0x10_0000n, {
    start: 0x800n,
    length: PAGE,
  }, "EINVAL"],
  ["the interrupt window is refused with EINVAL", 0xfee0_0000n, {}, "EINVAL"],
  ["an end in the interrupt window is refused with EINVAL", 0xfedf_f000n, {}, "EINVAL"],
  ["what ends before the interrupt window is taken", 0xfedf_e000n, {}, "done"],
  ["what starts behind the interrupt window is taken", 0xfef0_0000n, {}, "done"],
  ["an IOVA of more than 39 bits is refused with EINVAL", 1n << 39n, {}, "EINVAL"],
  ["the last IOVAs of 39 bits are taken", (1n << 39n) - 2n * PAGE, {}, "done"],
  [
    "an IOVA past whose end the buffer goes is refused with EOVERFLOW",
    MOST - PAGE + 1n,
    {},
    "EOVERFLOW",
  ],
] as const).map(([name, iova, part, errno]) => ({
  name: `With a device attached, ${name}`,
  needs: ["memory", "engine"],
  async run(bench) {
    const at = await ready(bench);
    const { device } = await bench.bound("engine", at.iommufd);
    await bench.lane.attachIoas(device, at.ioas);
    assert.equal(await errnoOf(bench.map(at, at.buffer, iova, part)), errno);
  },
}));

async function attaching(bench: Bench, at: Ready): Promise<string> {
  const { device } = await bench.bound("engine", at.iommufd);
  return await errnoOf(bench.lane.attachIoas(device, at.ioas));
}

const attachingLater: readonly ConformanceCase[] = [
  holds("A device is attached to what is mapped already", async (bench, at) => {
    await bench.map(at, at.buffer);
    assert.equal(await attaching(bench, at), "done");
  }),
  holds(
    "A device is not attached to what is mapped inside a page: EADDRINUSE",
    async (bench, at) => {
      await bench.map(at, at.buffer, undefined, { start: 8n, length: 8n });
      assert.equal(await attaching(bench, at), "EADDRINUSE");
    },
  ),
  holds(
    "A device is not attached to what is mapped in the interrupt window: EADDRINUSE",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0xfee0_1000n);
      assert.equal(await attaching(bench, at), "EADDRINUSE");
    },
  ),
  holds("When no device is attached any more, its rules are gone", async (bench, at) => {
    const { device } = await bench.bound("engine", at.iommufd);
    await bench.lane.attachIoas(device, at.ioas);
    await bench.lane.close(device);
    assert.equal(await errnoOf(bench.map(at, at.buffer, 0xfee0_0008n)), "done");
  }),
  {
    name: "A file that is no dma-buf is not mapped for a device: EINVAL",
    needs: ["memory", "engine"],
    async run(bench) {
      const at = await ready(bench);
      assert.equal(await attaching(bench, at), "done");
      const eventFd = bench.keep(bench.kernel.eventFd("no dma-buf"));
      assert.equal(await errnoOf(bench.map(at, eventFd)), "EINVAL");
    },
  },
];

const unmapping: readonly ConformanceCase[] = [
  holds("An unmap says how many bytes it took away", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    assert.equal(await bench.unmap(at, iova), 2n * PAGE);
    assert.equal(await errnoOf(bench.unmap(at, iova)), "ENOENT");
  }),
  holds("An unmap takes whole areas in a wider range away", async (bench, at) => {
    await bench.map(at, at.buffer, 0x10_0000n);
    await bench.map(at, at.buffer, 0x20_0000n);
    assert.equal(await bench.unmap(at, 0x8_0000n, 0x40_0000n), 4n * PAGE);
    assert.equal(bench.references(at.buffer), 1);
  }),
  holds("An unmap that would split an area is refused with ENOENT", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    for (
      const [start, length] of [[iova, PAGE], [iova + PAGE, PAGE], [
        iova + PAGE,
        PAGE * 4n,
      ]] as const
    ) {
      assert.equal(await errnoOf(bench.unmap(at, start, length)), "ENOENT");
    }
    assert.equal(bench.references(at.buffer), 2);
  }),
  holds(
    "An unmap that would split its last area has taken those before away",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0x10_0000n);
      await bench.map(at, at.buffer, 0x20_0000n);
      assert.equal(await errnoOf(bench.unmap(at, 0x10_0000n, 0x10_1000n)), "ENOENT");
      assert.equal(bench.references(at.buffer), 2);
      assert.equal(await bench.unmap(at, 0x20_0000n), 2n * PAGE);
    },
  ),
  holds("An unmap of nothing is refused with ENOENT", async (bench, at) => {
    assert.equal(await errnoOf(bench.unmap(at, 0x10_0000n)), "ENOENT");
  }),
  holds("An unmap of no bytes is refused with EINVAL", async (bench, at) => {
    assert.equal(await errnoOf(bench.unmap(at, 0n, 0n)), "EINVAL");
  }),
  holds("An unmap past 64 bits is refused with EOVERFLOW", async (bench, at) => {
    for (const [start, length] of [[MOST - 1n, 3n], [PAGE, MOST], [MOST, 1n]] as const) {
      assert.equal(await errnoOf(bench.unmap(at, start, length)), "EOVERFLOW");
    }
  }),
  holds(
    "An unmap of everything takes everything away, also when there is nothing",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0x10_0000n);
      await bench.map(at, at.buffer, 0n, { length: PAGE });
      assert.equal(await bench.unmap(at, 0n, MOST), 3n * PAGE);
      assert.equal(await bench.unmap(at, 0n, MOST), 0n);
    },
  ),
  holds(
    "An unmap in an address space that is not there is refused with ENOENT",
    async (bench, at) => {
      assert.equal(await errnoOf(bench.unmap({ ...at, ioas: 77 }, 0n, 0n)), "ENOENT");
    },
  ),
  holds("An address space that is destroyed takes its mappings along", async (bench, at) => {
    await bench.map(at, at.buffer);
    await bench.lane.iommuDestroy(at.iommufd, at.ioas);
    assert.equal(bench.references(at.buffer), 1);
  }),
];

const copying: readonly ConformanceCase[] = [
  holds("A copy shares the import: one reference for both", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    assert.equal(await bench.copy(at, iova), 0x3000n);
    assert.equal(bench.references(at.buffer), 2);
    await bench.unmap(at, iova);
    assert.equal(bench.references(at.buffer), 2);
    await bench.unmap(at, 0x3000n);
    assert.equal(bench.references(at.buffer), 1);
  }),
  holds("A part of an area can be copied", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    const copy = await bench.copy(at, iova + PAGE, PAGE);
    await bench.unmap(at, iova);
    assert.equal(bench.references(at.buffer), 2);
    assert.equal(await bench.unmap(at, copy, PAGE), PAGE);
  }),
  holds(
    "Areas without a hole between them are copied together, and are areas",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0x10_0000n);
      await bench.map(at, at.buffer, 0x10_2000n);
      const copy = await bench.copy(at, 0x10_1000n, 2n * PAGE);
      assert.equal(await bench.unmap(at, copy, PAGE), PAGE);
      assert.equal(await bench.unmap(at, copy + PAGE, PAGE), PAGE);
    },
  ),
  holds("A copy across a hole, or of nothing, is refused with ENOENT", async (bench, at) => {
    await bench.map(at, at.buffer, 0x10_0000n);
    await bench.map(at, at.buffer, 0x10_3000n);
    assert.equal(await errnoOf(bench.copy(at, 0x10_0000n, 4n * PAGE)), "ENOENT");
    assert.equal(await errnoOf(bench.copy(at, 0x20_0000n)), "ENOENT");
    assert.equal(bench.references(at.buffer), 3);
  }),
  holds(
    "A copy of no bytes is refused with EINVAL, one past 64 bits with EOVERFLOW",
    async (bench, at) => {
      const iova = await bench.map(at, at.buffer);
      assert.equal(await errnoOf(bench.copy(at, iova, 0n)), "EINVAL");
      assert.equal(await errnoOf(bench.copy(at, iova, MOST)), "EOVERFLOW");
      assert.equal(await errnoOf(bench.copy(at, MOST - 1n, 3n)), "EOVERFLOW");
    },
  ),
  holds(
    "A copy from or to an address space that is not there is refused with ENOENT",
    async (bench, at) => {
      const { iommufd, ioas } = at;
      const iova = await bench.map(at, at.buffer);
      const { lane } = bench;
      assert.equal(await errnoOf(lane.ioasCopy(iommufd, ioas, 77, iova, PAGE)), "ENOENT");
      assert.equal(await errnoOf(lane.ioasCopy(iommufd, 77, ioas, iova, PAGE)), "ENOENT");
      assert.equal(await errnoOf(lane.ioasCopy(iommufd, 77, ioas, iova, 0n)), "EINVAL");
    },
  ),
  holds("What is mapped for reading is not copied for writing: EPERM", async (bench, at) => {
    const iova = await bench.map(at, at.buffer, undefined, { writeable: false });
    assert.equal(await errnoOf(bench.copy(at, iova)), "EPERM");
  }),
  holds(
    "A copy goes to another address space, and stays when the first goes",
    async (bench, at) => {
      const iova = await bench.map(at, at.buffer);
      const other = await bench.lane.ioasAlloc(at.iommufd);
      assert.equal(await bench.lane.ioasCopy(at.iommufd, other, at.ioas, iova, 2n * PAGE), 0x1000n);
      await bench.lane.iommuDestroy(at.iommufd, at.ioas);
      assert.equal(bench.references(at.buffer), 2);
    },
  ),
  holds("A dead area is copied like a live one", async (bench, at) => {
    const iova = await bench.map(at, at.buffer);
    await bench.lane.close(at.device);
    assert.equal(await errnoOf(bench.copy(at, iova)), "done");
    assert.equal(bench.references(at.buffer), 2);
  }),
];

const after: readonly ConformanceCase[] = [
  holds(
    "A dead area keeps its IOVA and its reference, and is unmapped whole",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0x10_0000n);
      await bench.lane.resetDevice(at.device);
      assert.equal(bench.references(at.buffer), 2);
      assert.equal(await errnoOf(bench.map(at, at.buffer, 0x10_0000n)), "EEXIST");
      assert.equal(await bench.unmap(at, 0x10_0000n), 2n * PAGE);
      assert.equal(await bench.map(at, at.buffer, 0x10_0000n), 0x10_0000n);
    },
  ),
  holds(
    "After the last close an area is unmapped, and not mapped again: ENODEV",
    async (bench, at) => {
      await bench.map(at, at.buffer, 0x10_0000n);
      await bench.lane.close(at.device);
      assert.equal(await bench.unmap(at, 0x10_0000n), 2n * PAGE);
      assert.equal(await errnoOf(bench.map(at, at.buffer, 0x10_0000n)), "ENODEV");
    },
  ),
];

const IOVA = 0x10_0000n;
/** Where the exported slice starts in the BAR. */
const OFFSET = 0x1000;

/** A DMA engine before an address space with the buffer at {@linkcode IOVA}. */
interface Dma extends Ready {
  readonly lands: (iova?: bigint) => Promise<boolean>;
}

function dma(
  name: string,
  run: (bench: Bench, at: Dma) => Promise<void>,
  writeable = true,
): ConformanceCase {
  return {
    name: `DMA: ${name}`,
    needs: ["memory", "engine"],
    async run(bench) {
      const at = await ready(bench);
      const facts = await bench.device("memory");
      const engine = await bench.engine(at);
      await bench.map(at, at.buffer, IOVA, { writeable });
      const lands = (iova = IOVA) => bench.world.lands(engine, iova, facts, OFFSET);
      await run(bench, { ...at, lands });
    },
  };
}

const transfers: readonly ConformanceCase[] = [
  dma("a mapping is reached, and after its unmap not", async (bench, { lands, ...at }) => {
    assert.ok(await lands());
    await bench.unmap(at, IOVA);
    assert.ok(!await lands());
  }),
  dma(
    "after a reset an area is dead, and a new one of the same buffer alive",
    async (bench, { lands, ...at }) => {
      await bench.lane.resetDevice(at.device);
      assert.ok(!await lands());
      await bench.unmap(at, IOVA);
      await bench.map(at, at.buffer, IOVA);
      assert.ok(await lands());
    },
  ),
  dma(
    "an area that memory decode off has killed stays dead when it is on",
    async (bench, { lands, ...at }) => {
      await bench.writeCommand(at.device, 0);
      await bench.writeCommand(at.device, MEMORY);
      assert.ok(!await lands());
    },
  ),
  dma("a reset by sysfs leaves an area alive", async (bench, { lands }) => {
    await bench.outside.reset((await bench.device("memory")).address);
    assert.ok(await lands());
  }),
  dma(
    "a copy lives on when the original is unmapped, and dies with a revoke",
    async (bench, { lands, ...at }) => {
      const copy = await bench.copy(at, IOVA);
      await bench.unmap(at, IOVA);
      assert.ok(await lands(copy));
      await bench.lane.resetDevice(at.device);
      assert.ok(!await lands(copy));
    },
  ),
  dma("what is mapped for reading is not written", async (_, { lands }) => {
    assert.ok(!await lands());
  }, false),
  dma(
    "a mapping lives on when the buffer's descriptor is closed",
    async (bench, { lands, ...at }) => {
      await bench.lane.close(at.buffer);
      assert.ok(await lands());
    },
  ),
  dma("a restore of what is not revoked leaves an area alive", async (bench, { lands, ...at }) => {
    await bench.writeCommand(at.device, MEMORY);
    assert.ok(await lands());
  }),
  dma("a device's end of low power revives no area", async (bench, { lands, ...at }) => {
    await bench.lane.enterLowPower(at.device);
    await bench.lane.exitLowPower(at.device);
    assert.ok(!await lands());
  }),
];

const later: ConformanceCase = {
  name: "DMA: what was killed before a device is attached stays dead for it",
  needs: ["memory", "engine"],
  async run(bench) {
    const at = await ready(bench);
    await bench.map(at, at.buffer, IOVA);
    await bench.lane.resetDevice(at.device);
    const engine = await bench.engine(at);
    const facts = await bench.device("memory");
    assert.ok(!await bench.world.lands(engine, IOVA, facts, OFFSET));
  },
};

/** Cases of the importer. */
export const subject: Subject = {
  title: "Importing by iommufd",
  cases: [
    ...mapping,
    ...places,
    ...attached,
    ...attachingLater,
    ...unmapping,
    ...copying,
    ...after,
    ...transfers,
    later,
  ],
};
