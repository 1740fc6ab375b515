/** What a guardian opens and gives to its importer, and what it refuses. @module */
import assert from "node:assert/strict";
import {
  DeniedError,
  HostNotReadyError,
  IdentityDriftError,
  InterruptedError,
  RefusedError,
} from "../../engine/errors.ts";
import { EventLog } from "../../engine/event.ts";
import { Guardian } from "../../engine/guardian.ts";
import { assertAllOver, planned, Scene, settle, simFunction, SSD } from "./support.ts";

Deno.test("Guardian gives the child its buffers and the channel, and ends all when it exits", async () => {
  const scene = new Scene([{}]);
  const child = await scene.start();
  assert.deepEqual([...child.fds.keys()], ["data", "bargate"]);
  assert.equal(child.uid, 65534);
  assert.equal(scene.kernel.dumpable, false);
  assert.deepEqual(scene.packets().map(({ type, fdName }) => [type, fdName]), [
    ["hello", undefined],
    ["granted", "data"],
  ]);
  const end = await scene.finish();
  assert.deepEqual(end, { child: { how: "exited", status: 0 }, trouble: false });
  assert.deepEqual(scene.story(), [
    "device-opened",
    "planned",
    "exported",
    "importer-started",
    "delivered",
    "importer-ended",
    "revoking importer-gone",
    "ended importer-gone release",
    "device-closed",
  ]);
  assertAllOver(scene);
});

Deno.test("Guardian.open exports all or nothing", async () => {
  const scene = new Scene([{ name: "one" }, { name: "two" }]);
  scene.kernel.failNext("VFIO_DEVICE_FEATURE", "EIO");
  await assert.rejects(scene.guardian.open(), RefusedError);
  assertAllOver(scene);
});

Deno.test("Guardian.open refuses a buffer that is born revoked, with the cause", async () => {
  const scene = new Scene([{}]);
  const device = scene.kernel.devices.get(`/dev/vfio/devices/${SSD}`);
  assert.ok(device !== undefined);
  const bind = device.bind.bind(device);
  device.bind = (owner) => {
    bind(owner);
    device.write(7, 4n, new Uint8Array([0, 0]));
  };
  await assert.rejects(scene.guardian.open(), /memory decode of 0000:01:00.0 is off/);
  assertAllOver(scene);
});

Deno.test("Guardian.open refuses a device that is another one", async () => {
  const config = new Uint8Array(256);
  config.set([0x4d, 0x14, 0x0a, 0xa8]);
  const cases = [
    simFunction(SSD, { config }),
    simFunction(SSD, { bars: new Map([[0, 0x4000n], [2, 0x200_0000n]]) }),
    { ...simFunction("0000:02:00.0"), node: `/dev/vfio/devices/${SSD}` },
  ];
  for (const fn of cases) {
    const scene = new Scene([{}], [fn]);
    await assert.rejects(scene.guardian.open(), IdentityDriftError);
    assertAllOver(scene);
  }
});

Deno.test("Guardian.open says that the device cannot be taken, and why", async () => {
  const scene = new Scene([{}]);
  scene.kernel.failNext("VFIO_DEVICE_BIND_IOMMUFD", "EINVAL");
  await assert.rejects(
    scene.guardian.open(),
    (error: Error) => error instanceof HostNotReadyError && /already open/.test(error.message),
  );
  assertAllOver(scene);
});

Deno.test("Guardian.run ends everything when the child cannot be started", async () => {
  const scene = new Scene([{}]);
  scene.kernel.failNext("posix_spawn", "ENOENT");
  await assert.rejects(scene.start(), /no child was started/);
  await assert.rejects(scene.finish(), /Cannot start \/usr\/bin\/importer/);
  assertAllOver(scene);
});

Deno.test("Guardian.open heeds a signal that comes meanwhile, and exports no more", async () => {
  const scene = new Scene([{}, { address: "0000:02:00.0", name: "other" }]);
  const goOn = scene.kernel.stall("VFIO_DEVICE_BIND_IOMMUFD");
  const open = scene.guardian.open();
  void Promise.allSettled([open]);
  await settle();
  await scene.guardian.shutdown("SIGTERM");
  goOn();
  await assert.rejects(open, InterruptedError);
  assert.deepEqual(scene.kernel.children, []);
  assertAllOver(scene);
});

Deno.test("Guardian.open does not wait for ever for a device that does not open", async () => {
  const scene = new Scene([{}]);
  scene.kernel.stall("VFIO_DEVICE_BIND_IOMMUFD");
  const open = scene.guardian.open();
  void Promise.allSettled([open]);
  await scene.clock.advance(120_000);
  await assert.rejects(open, /has not answered within 90 s/);
});

Deno.test("Guardian gives one program the grants of one importer only", () => {
  const scene = new Scene([{}]);
  const plan = {
    host: { release: "7.3", pageSize: 4096 },
    policy: "sha256:x",
    grants: [planned(), { ...planned(), importerName: "other/engine" }],
    domains: new Map(),
    diagnostics: [],
    denied: false,
  };
  const context = {
    kernel: scene.kernel,
    clock: scene.clock,
    log: new EventLog("sha256:x", () => 0, () => {}),
    limitMs: 1,
    files: scene.files,
  };
  assert.throws(() => new Guardian(plan, context), DeniedError);
});

Deno.test("Guardian goes on when an event cannot be written", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  const buffer = scene.buffer();
  scene.events.push = () => {
    throw new Error("the pipe is full");
  };
  await scene.guardian.reset(SSD, "function", "test");
  assert.ok(buffer.revoked);
  assert.equal((await scene.finish()).trouble, false);
  assert.equal(scene.ownFds, 0);
});

Deno.test("Guardian refuses an open device that tells no address, or hides its MSI-X elsewhere", async () => {
  const silent = new Scene([{}]);
  const openLane = silent.kernel.openLane.bind(silent.kernel);
  silent.kernel.openLane = (name) =>
    Object.assign(openLane(name), { deviceAddress: () => Promise.resolve(undefined) });
  await assert.rejects(silent.guardian.open(), IdentityDriftError);
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x11);
  view.setUint32(0x44, 0x1002, true);
  const moved = new Scene([{}], [simFunction(SSD, { config })]);
  await assert.rejects(moved.guardian.open(), /its MSI-X is msix-table in BAR 2 at 0x1000/);
  const classed = new Uint8Array(256);
  new DataView(classed.buffer).setUint32(0, 0x0010_1b36, true);
  classed[0x0b] = 2;
  const other = new Scene([{}], [simFunction(SSD, { config: classed })]);
  await assert.rejects(other.guardian.open(), /its class is 020000/);
});

Deno.test("Guardian names the buffers of many devices apart for the program", async () => {
  const scene = new Scene([{ many: true }, { many: true, address: "0000:02:00.0" }]);
  const child = await scene.start();
  const names = ["bargate", "data@0000-01-00.0", "data@0000-02-00.0"];
  assert.deepEqual([...child.fds.keys()].sort(), names);
  const told = scene.packets().filter(({ type }) => type === "granted");
  assert.deepEqual(told.map(({ export: name, fdName }) => [name, fdName]), [
    ["demo/data@0000-01-00.0", "data@0000-01-00.0"],
    ["demo/data@0000-02-00.0", "data@0000-02-00.0"],
  ]);
  await scene.finish();
});

Deno.test("Guardian refuses an open device with another serial number than the planned one", async () => {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint32(0x100, 0x0001_0003, true);
  view.setUint32(0x104, 7, true);
  const [own, other] = ["00-00-00-00-00-00-00-07", "00-00-00-00-00-00-00-08"] as const;
  const drifted = new Scene([{ serial: other }], [simFunction(SSD, { config })]);
  await assert.rejects(drifted.guardian.open(), /its serial number is 00-.*-07, and not 00-.*-08/);
  const gone = new Scene([{ serial: own }], [simFunction(SSD)]);
  await assert.rejects(gone.guardian.open(), /its serial number is none, and not 00-/);
  const same = new Scene([{ serial: own }], [simFunction(SSD, { config })]);
  await same.start();
  await same.finish();
});
