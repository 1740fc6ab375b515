/** A revoke that waits for who does not let go of a buffer, and what waits behind it. @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { Lane } from "../../engine/kernel.ts";
import { type Bench, COMMAND, CONFIG, errnoOf, MEMORY, PAGE, SLICE } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";
import { begun, waits } from "../waiting.ts";

const MEMORY_BAR = 2;
/** In config space: nobody minds what it says. */
const INTERRUPT_LINE = 0x3cn;
/** A device whose reset waits for its first buffer. */
interface Stuck {
  readonly device: Fd;
  readonly address: string;
  readonly first: Fd;
  readonly second: Fd;
  /** Nothing waits on it. */
  readonly lane: Lane;
  /** To wait on. */
  readonly waiting: Lane;
}

async function tried(lane: Lane, bench: Bench, buffer: Fd): Promise<string> {
  const iommufd = bench.kernel.openIommufd();
  try {
    const ioas = await lane.ioasAlloc(iommufd);
    const request = { iommufd, ioas, dmaBuf: buffer, start: 0n, length: PAGE, writeable: true };
    return await errnoOf(lane.ioasMapFile(request));
  } finally {
    bench.kernel.close(iommufd);
  }
}

/** A call that begins while the device is stuck: it must wait, and be answered afterwards. */
type Meanwhile = (bench: Bench, stuck: Stuck) => Promise<void>;

/** @param revoke what waits for the first buffer */
function stuck(
  name: string,
  meanwhile: Meanwhile,
  revoke: (lane: Lane, device: Fd) => Promise<unknown> = (lane, device) => lane.resetDevice(device),
): ConformanceCase {
  return {
    name,
    needs: ["memory"],
    async run(bench) {
      const { device, facts } = await bench.bound("memory", bench.iommufd(), true);
      const { address } = facts;
      const [first, second] = [await bench.export(device), await bench.export(device)];
      const [lane, waiting] = [bench.world.beside("working"), bench.world.beside("waiting")];
      // It must not be its own start that a call waits for.
      await waiting.deviceInfo(device);
      const letGo = await bench.world.hold(first);
      bench.world.moves(address);
      const revoked = revoke(bench.lane, device);
      try {
        await begun(bench, address);
        await meanwhile(bench, { device, address, first, second, lane, waiting });
        assert.ok(await waits(bench, revoked), "the revoke has returned");
      } finally {
        letGo();
        await revoked;
      }
    },
  };
}

/** A call that waits, and is answered when the buffer is let go of; until then the case is not over. */
function answeredLater(
  name: string,
  call: (stuck: Stuck, bench: Bench) => Promise<unknown>,
  revoke?: (lane: Lane, device: Fd) => Promise<unknown>,
): ConformanceCase {
  const answered: Promise<string>[] = [];
  const it = stuck(name, async (bench, stuck) => {
    const made = errnoOf(call(stuck, bench));
    answered.push(made);
    assert.ok(await waits(bench, made), "it was answered");
  }, revoke);
  return {
    ...it,
    async run(bench) {
      await it.run(bench);
      assert.equal(await answered.pop(), "done");
    },
  };
}

/** What waits behind a reset that waits. */
function waitsBehind(
  what: string,
  call: (stuck: Stuck, bench: Bench) => Promise<unknown>,
): ConformanceCase {
  return answeredLater(`${what} waits behind a reset that waits`, call);
}

/** What does not. */
function answersDespite(
  what: string,
  call: (stuck: Stuck, bench: Bench) => Promise<unknown>,
  answer = "done",
): ConformanceCase {
  return stuck(`${what} despite a reset that waits`, async (bench, stuck) => {
    assert.equal(await errnoOf(call(stuck, bench)), answer);
  });
}

const cases: readonly ConformanceCase[] = [
  waitsBehind("An export", async ({ waiting, device }, bench) => {
    bench.keep(await waiting.exportDmaBuf(device, MEMORY_BAR, SLICE));
  }),
  waitsBehind("A read of a BAR", ({ waiting, device }) => waiting.readRegion(device, 2, 0n, 4)),
  waitsBehind(
    "A write of a BAR",
    ({ waiting, device }) => waiting.writeRegion(device, 2, 0n, new Uint8Array(4)),
  ),
  waitsBehind(
    "A write of the command register",
    ({ waiting, device }) =>
      waiting.writeRegion(device, CONFIG, COMMAND, new Uint8Array([MEMORY, 0])),
  ),
  waitsBehind("Another reset", ({ waiting, device }) => waiting.resetDevice(device)),
  waitsBehind("Low power", ({ waiting, device }) => waiting.enterLowPower(device)),
  answersDespite("Config space is read", async ({ lane, device }) => {
    await lane.readRegion(device, CONFIG, 0n, 4);
    await lane.readRegion(device, CONFIG, COMMAND, 2);
  }),
  answersDespite(
    "Another register of config space is written",
    ({ lane, device }) => lane.writeRegion(device, CONFIG, INTERRUPT_LINE, new Uint8Array(1)),
  ),
  answersDespite("The buffer that it waits for is not imported", async ({ lane, first }, bench) => {
    assert.equal(await tried(lane, bench, first), "ENODEV");
  }),
  answersDespite("Device and regions are told", async ({ lane, device }) => {
    await lane.deviceInfo(device);
    await lane.regionInfo(device, MEMORY_BAR);
  }),
  answersDespite("The feature is probed", ({ lane, device }) => lane.probeDmaBuf(device)),
  answersDespite(
    "An interrupt is armed",
    ({ lane, device }, bench) =>
      lane.armInterrupt(device, "request", bench.keep(bench.kernel.eventFd("request"))),
  ),
  answersDespite(
    "A hot reset is refused",
    ({ lane, device }) => lane.hotReset(device, []),
    "EBUSY",
  ),
  answersDespite("A later buffer is imported", async ({ lane, second }, bench) => {
    assert.equal(await tried(lane, bench, second), "done");
  }),
  answersDespite(
    "A copy of the device is closed",
    ({ lane, device }, bench) => lane.close(bench.duplicate(device)),
  ),
  answersDespite("Another device is reset", async ({ lane }, bench) => {
    const { node } = await bench.device("memory2");
    const device = bench.keep(await lane.openShared(node));
    await lane.bindIommufd(device, bench.iommufd());
    await lane.resetDevice(device);
  }),
  answeredLater(
    "A close waits for who holds a buffer, and the next open for the close",
    async ({ lane, waiting }, bench) => {
      const { node } = await bench.device("memory");
      const again = bench.keep(await lane.openShared(node));
      await waiting.bindIommufd(again, bench.iommufd());
    },
    (lane, device) => lane.close(device),
  ),
  {
    name: "A restore waits for who holds a buffer, too",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound("memory", bench.iommufd(), true);
      const buffer = await bench.export(device);
      await bench.writeCommand(device, 0);
      const letGo = await bench.world.hold(buffer);
      const restored = bench.writeCommand(device, MEMORY);
      try {
        assert.ok(await waits(bench, restored), "the restore has returned");
      } finally {
        letGo();
        await restored;
      }
      assert.ok(await bench.alive(buffer));
    },
  },
];

/** Cases of importers that do not let go. */
export const subject: Subject = { title: "Importers that do not let go", cases };
