/** What revokes, what restores, and what does neither (drivers/vfio/pci). @module */
import assert from "node:assert/strict";
import { BUS_MASTER, COMMAND, CONFIG, errnoOf, MEMORY } from "../bench.ts";
import type { Bench, Bound } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

/** Memory decode off, on. */
const OFF = 0;
const ON = MEMORY;
const D0 = 0;
const D3HOT = 3;
const POWER_MANAGEMENT = 1;
const PCI_EXPRESS = 0x10;

/** An event, and what the driver does to the device's buffers. */
interface Row {
  readonly event: string;
  readonly moves: string;
  /** Whether a buffer can be imported afterwards. */
  readonly alive: boolean;
  /** What has happened before. */
  readonly before?: (bench: Bench, bound: Bound) => Promise<void>;
  readonly make: (bench: Bench, bound: Bound) => Promise<void>;
}

const flr = async (bench: Bench, { device }: Bound): Promise<void> => {
  const control = await bench.capability(device, PCI_EXPRESS) + 8n;
  const [low = 0, high = 0] = await bench.lane.readRegion(device, CONFIG, control, 2);
  await bench.writeConfig(device, control, [low, high | 0x80]);
};
const command = (value: number) => (bench: Bench, { device }: Bound) =>
  bench.writeCommand(device, value);
const power = (state: number) => (bench: Bench, { device }: Bound) =>
  bench.setPowerState(device, state);
const reset = ({ lane }: Bench, { device }: Bound) => lane.resetDevice(device);
const hotReset = ({ lane }: Bench, { device }: Bound) => lane.hotReset(device, []);
const enter = ({ lane }: Bench, { device }: Bound) => lane.enterLowPower(device);
const exit = ({ lane }: Bench, { device }: Bound) => lane.exitLowPower(device);
const refusedEntry = async ({ lane }: Bench, { device }: Bound) =>
  assert.equal(await errnoOf(lane.enterLowPower(device)), "EINVAL");
const write = (offset: bigint, bytes: readonly number[]) => (bench: Bench, { device }: Bound) =>
  bench.writeConfig(device, offset, bytes);

const BOUNCE = "revoke restore";

const rows: readonly Row[] = [
  { event: "VFIO_DEVICE_RESET bounces", moves: BOUNCE, alive: true, make: reset },
  { event: "PCI_HOT_RESET bounces", moves: BOUNCE, alive: true, make: hotReset },
  {
    event: "A function level reset by config write bounces",
    moves: BOUNCE,
    alive: true,
    make: flr,
  },
  { event: "Memory decode off revokes", moves: "revoke", alive: false, make: command(OFF) },
  {
    event: "Memory decode off, when it is off, revokes again",
    moves: "revoke",
    alive: false,
    before: command(OFF),
    make: command(OFF),
  },
  {
    event: "Memory decode on restores",
    moves: "restore",
    alive: true,
    before: command(OFF),
    make: command(ON),
  },
  {
    event: "Memory decode on, when it is on, restores what is valid",
    moves: "restore",
    alive: true,
    make: command(ON | BUS_MASTER),
  },
  {
    event: "The command register's low byte alone revokes",
    moves: "revoke",
    alive: false,
    make: write(COMMAND, [OFF]),
  },
  {
    event: "The command register with the status register revokes",
    moves: "revoke",
    alive: false,
    make: write(COMMAND, [OFF, 0, 0, 0]),
  },
  {
    event: "A write across the command register's start revokes",
    moves: "revoke",
    alive: false,
    make: write(COMMAND - 2n, [0, 0, OFF, 0]),
  },
  {
    event: "The command register's high byte alone does nothing",
    moves: "",
    alive: true,
    make: write(COMMAND + 1n, [0]),
  },
  {
    event: "A write of another register does nothing",
    moves: "",
    alive: true,
    make: write(0x0cn, [0x10]),
  },
  {
    event: "VFIO_DEVICE_RESET with memory decode off only revokes",
    moves: "revoke",
    alive: false,
    before: command(OFF),
    make: reset,
  },
  {
    event: "PCI_HOT_RESET with memory decode off only revokes",
    moves: "revoke",
    alive: false,
    before: command(OFF),
    make: hotReset,
  },
  {
    event: "A function level reset by config write with memory decode off only revokes",
    moves: "revoke",
    alive: false,
    before: command(OFF),
    make: flr,
  },
  { event: "D3hot revokes", moves: "revoke", alive: false, make: power(D3HOT) },
  { event: "D0 restores", moves: "restore", alive: true, before: power(D3HOT), make: power(D0) },
  {
    event: "D0 in D0 restores what is valid",
    moves: "restore",
    alive: true,
    make: power(D0),
  },
  {
    event: "Memory decode on in D3hot restores nothing",
    moves: "",
    alive: false,
    before: power(D3HOT),
    make: command(ON),
  },
  {
    event: "D0 with memory decode off restores nothing",
    moves: "",
    alive: false,
    before: async (bench, bound) => {
      await bench.setPowerState(bound.device, D3HOT);
      await bench.writeCommand(bound.device, OFF);
    },
    make: power(D0),
  },
  {
    event: "VFIO_DEVICE_RESET in D3hot restores: it ends in D0",
    moves: BOUNCE,
    alive: true,
    before: power(D3HOT),
    make: reset,
  },
  {
    event: "PCI_HOT_RESET in D3hot restores: it ends in D0",
    moves: BOUNCE,
    alive: true,
    before: power(D3HOT),
    make: hotReset,
  },
  { event: "Low power revokes", moves: "revoke", alive: false, make: enter },
  {
    event: "Low power in low power is refused with EINVAL, and revokes",
    moves: "revoke",
    alive: false,
    before: enter,
    make: refusedEntry,
  },
  {
    event: "Low power in low power revokes what was restored meanwhile",
    moves: "revoke",
    alive: false,
    before: async (bench, bound) => {
      await bench.lane.enterLowPower(bound.device);
      await bench.lane.resetDevice(bound.device);
    },
    make: refusedEntry,
  },
  { event: "Low power's end restores", moves: "restore", alive: true, before: enter, make: exit },
  {
    event: "Low power's end without its beginning restores what is valid",
    moves: "restore",
    alive: true,
    make: exit,
  },
  {
    event: "Low power's end with memory decode off restores nothing",
    moves: "",
    alive: false,
    before: async (bench, bound) => {
      await bench.lane.enterLowPower(bound.device);
      await bench.writeCommand(bound.device, OFF);
    },
    make: exit,
  },
  {
    event: "VFIO_DEVICE_RESET in low power restores",
    moves: BOUNCE,
    alive: true,
    before: enter,
    make: reset,
  },
  {
    event: "Memory decode on in low power restores",
    moves: "restore",
    alive: true,
    before: enter,
    make: command(ON),
  },
  {
    event: "A question in low power restores nothing",
    moves: "",
    alive: false,
    before: enter,
    make: async ({ lane }, { device }) => void await lane.deviceInfo(device),
  },
  {
    event: "A reset by sysfs does nothing to buffers",
    moves: "",
    alive: true,
    make: ({ outside }, { facts }) => outside.reset(facts.address),
  },
  {
    event: "A reset by sysfs restores nothing",
    moves: "",
    alive: false,
    before: command(OFF),
    make: ({ outside }, { facts }) => outside.reset(facts.address),
  },
  {
    event: "A reset by sysfs in D3hot restores nothing",
    moves: "",
    alive: false,
    before: power(D3HOT),
    make: ({ outside }, { facts }) => outside.reset(facts.address),
  },
  {
    event: "After a reset by sysfs in D3hot memory decode on restores: the device is in D0",
    moves: "restore",
    alive: true,
    before: async (bench, bound) => {
      await bench.setPowerState(bound.device, D3HOT);
      await bench.outside.reset(bound.facts.address);
      assert.ok(await bench.alive(await bench.export(bound.device)), "new ones are born alive");
    },
    make: command(ON),
  },
  {
    event: "A reset of what is below the bridge does nothing to buffers",
    moves: "",
    alive: true,
    make: ({ outside }, { facts }) => outside.resetBelowBridge(facts.address),
  },
  {
    event: "Memory decode off by sysfs does nothing to buffers",
    moves: "",
    alive: true,
    make: async (bench, { facts, device }) => {
      await bench.outside.writeConfig(facts.address, 4, new Uint8Array([OFF, 0]));
      assert.ok(await bench.alive(await bench.export(device)), "nor to new ones");
      await bench.outside.writeConfig(facts.address, 4, new Uint8Array([ON, 0]));
    },
  },
  {
    event: "The last close revokes, and restores nobody",
    moves: BOUNCE,
    alive: false,
    make: ({ lane }, { device }) => lane.close(device),
  },
  {
    event: "The last close with memory decode off revokes again, and ends",
    moves: "revoke",
    alive: false,
    before: command(OFF),
    make: ({ lane }, { device }) => lane.close(device),
  },
];

const table: readonly ConformanceCase[] = rows.map(({ event, moves, alive, before, make }) => ({
  name: event,
  needs: ["memory"],
  async run(bench) {
    const bound = await bench.bound();
    const buffer = await bench.export(bound.device);
    await before?.(bench, bound);
    assert.equal(await bench.moves(bound.facts.address, () => make(bench, bound)), moves);
    assert.equal(await bench.alive(buffer), alive);
  },
}));

const more: readonly ConformanceCase[] = [
  {
    name: "A device without a reset refuses it with EINVAL, and revokes nothing",
    needs: ["plain"],
    async run(bench) {
      const { device, facts } = await bench.bound("plain");
      const buffer = await bench.export(device);
      const moves = await bench.moves(facts.address, async () => {
        assert.equal(await errnoOf(bench.lane.resetDevice(device)), "EINVAL");
      });
      assert.equal(moves, "");
      assert.ok(await bench.alive(buffer));
    },
  },
  {
    name: "A buffer that is exported while memory decode is off is born revoked, and restored",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.writeCommand(device, OFF);
      const buffer = await bench.export(device);
      assert.ok(!await bench.alive(buffer));
      await bench.writeCommand(device, ON);
      assert.ok(await bench.alive(buffer));
    },
  },
  {
    name: "A buffer that is exported in D3hot is born revoked, and restored",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.setPowerState(device, D3HOT);
      const buffer = await bench.export(device);
      assert.ok(!await bench.alive(buffer));
      await bench.setPowerState(device, D0);
      assert.ok(await bench.alive(buffer));
    },
  },
  {
    name: "A buffer that is exported in low power is born alive",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.lane.enterLowPower(device);
      assert.ok(await bench.alive(await bench.export(device)));
    },
  },
  {
    name: "What is refused as an export says nothing of memory decode",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      await bench.writeCommand(device, OFF);
      assert.equal(await bench.exporting(device, 5, { offset: 0n, length: 4096n }), "ENODEV");
    },
  },
  {
    name: "A new opening does not revive what an old one exported",
    needs: ["memory"],
    async run(bench) {
      const first = await bench.bound();
      const old = await bench.export(first.device);
      await bench.lane.close(first.device);
      const second = await bench.bound();
      const fresh = await bench.export(second.device);
      await bench.lane.resetDevice(second.device);
      await bench.writeCommand(second.device, ON);
      assert.ok(await bench.alive(fresh));
      assert.ok(!await bench.alive(old));
    },
  },
  {
    name: "What an old opening exported neither moves nor counts in a new one",
    needs: ["memory"],
    async run(bench) {
      const first = await bench.bound();
      const old = await bench.export(first.device);
      await bench.lane.close(first.device);
      const second = await bench.bound();
      await bench.lane.close(old);
      assert.ok(await bench.alive(await bench.export(second.device)));
    },
  },
  {
    name: "A device's revoke is no other device's",
    needs: ["memory", "memory2"],
    async run(bench) {
      const [one, other] = [await bench.bound("memory"), await bench.bound("memory2")];
      const buffers = [await bench.export(one.device), await bench.export(other.device)] as const;
      const moves = await bench.moves(other.facts.address, async () => {
        await bench.writeCommand(one.device, OFF);
        await bench.lane.resetDevice(one.device);
      });
      assert.equal(moves, "");
      assert.deepEqual([await bench.alive(buffers[0]), await bench.alive(buffers[1])], [
        false,
        true,
      ]);
    },
  },
  {
    name: "Both BARs' buffers are revoked and restored",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const page = [{ offset: 0n, length: 4096n }];
      const buffers = [await bench.export(device, page, 0), await bench.export(device, page, 2)];
      await bench.writeCommand(device, OFF);
      for (const buffer of buffers) assert.ok(!await bench.alive(buffer));
      await bench.writeCommand(device, ON);
      for (const buffer of buffers) assert.ok(await bench.alive(buffer));
    },
  },
  {
    name: "D3hot is left for D0 alone",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffer = await bench.export(device);
      await bench.setPowerState(device, D3HOT);
      for (const state of [1, 2]) await bench.setPowerState(device, state);
      assert.ok(!await bench.alive(buffer));
      await bench.setPowerState(device, D0);
      assert.ok(await bench.alive(buffer));
    },
  },
  {
    name: "D1 and D2 revoke nothing",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const buffer = await bench.export(device);
      for (const state of [1, 2]) {
        await bench.setPowerState(device, state);
        assert.ok(await bench.alive(buffer));
      }
    },
  },
  {
    name: "The power state is read as it is",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      const pmcsr = await bench.capability(device, POWER_MANAGEMENT) + 4n;
      const state = async () =>
        ((await bench.lane.readRegion(device, CONFIG, pmcsr, 2))[0] ?? 0) & 3;
      assert.equal(await state(), D0);
      await bench.setPowerState(device, D3HOT);
      assert.equal(await state(), D3HOT);
      await bench.lane.resetDevice(device);
      assert.equal(await state(), D0);
    },
  },
  {
    name: "A reset keeps the command register as it was",
    needs: ["memory"],
    async run(bench) {
      const { device } = await bench.bound();
      for (const value of [OFF, ON, ON | BUS_MASTER]) {
        await bench.writeCommand(device, value);
        await bench.lane.resetDevice(device);
        assert.equal(await bench.command(device) & (MEMORY | BUS_MASTER), value);
      }
    },
  },
  {
    name: "An unbind revokes nothing while the device is open, and its close ends it",
    needs: ["memory2"],
    async run(bench) {
      const { device, facts } = await bench.bound("memory2");
      const buffer = await bench.export(device);
      const request = bench.keep(bench.kernel.eventFd("request"));
      await bench.lane.armInterrupt(device, "request", request);
      bench.after(() => bench.outside.bind(facts.address));
      const { over } = await bench.outside.unbind(facts.address);
      await bench.ready(request, () => bench.kernel.readEventFd(request) || undefined);
      assert.ok(await bench.alive(buffer));
      assert.ok(await bench.alive(await bench.export(device)), "nor are new ones refused");
      assert.equal(await errnoOf(bench.lane.openNode(facts.node)), "ENOENT");
      await bench.lane.close(device);
      await over;
      assert.ok(!await bench.alive(buffer));
    },
  },
  {
    name: "A reset while an unbind waits is refused with EAGAIN, and bounces",
    needs: ["memory2"],
    async run(bench) {
      const { device, facts } = await bench.bound("memory2");
      const buffer = await bench.export(device);
      const request = bench.keep(bench.kernel.eventFd("request"));
      await bench.lane.armInterrupt(device, "request", request);
      bench.after(() => bench.outside.bind(facts.address));
      const { over } = await bench.outside.unbind(facts.address);
      await bench.ready(request, () => bench.kernel.readEventFd(request) || undefined);
      const moves = await bench.moves(facts.address, async () => {
        assert.equal(await errnoOf(bench.lane.resetDevice(device)), "EAGAIN");
      });
      assert.ok(moves.startsWith(BOUNCE) && moves.endsWith("restore"), moves);
      assert.ok(await bench.alive(buffer));
      await bench.lane.close(device);
      await over;
    },
  },
  {
    name:
      "An unbind waits for a file that is open and not bound, which is not bound any more: EAGAIN",
    needs: ["memory2"],
    async run(bench) {
      const { node, address } = await bench.device("memory2");
      const device = await bench.open(node);
      bench.after(() => bench.outside.bind(address));
      const { over } = await bench.outside.unbind(address);
      let ended = false;
      const watched = over.then(() => ended = true);
      await bench.gone(node);
      assert.equal(await errnoOf(bench.lane.bindIommufd(device, bench.iommufd())), "EAGAIN");
      assert.ok(!ended);
      await bench.lane.close(device);
      await watched;
    },
  },
  {
    name: "An unbind does not wait for buffers",
    needs: ["memory2"],
    async run(bench) {
      const { device, facts } = await bench.bound("memory2");
      const buffer = await bench.export(device);
      await bench.lane.close(device);
      bench.after(() => bench.outside.bind(facts.address));
      await (await bench.outside.unbind(facts.address)).over;
      assert.equal(bench.references(buffer), 1);
    },
  },
];

/** Cases of revoking. */
export const subject: Subject = {
  title: "What revokes and what restores",
  cases: [...table, ...more],
};
