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
import { SimDmaBuf } from "../../sim/vfio.ts";
import { countsOf, planned, Scene, settle, simFunction, SSD } from "./support.ts";

/** Every grant has one start and one end, and nothing of Bargate is left open. */
function assertClean(scene: Scene): void {
  const started = scene.events.filter(({ type }) => type === "planned").map(({ grant }) => grant);
  const ended = scene.events.filter(({ type }) => type === "ended").map(({ grant }) => grant);
  assert.deepEqual(ended.toSorted(), started.toSorted());
  assert.equal(scene.ownFds, 0);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
}

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
  assertClean(scene);
});

Deno.test("Guardian closes the device when a descendant of the dead child keeps the buffer", async () => {
  const scene = new Scene([{}]);
  const child = await scene.start();
  const kept = scene.kernel.table.duplicate(child.fds.get("data") ?? -1);
  const buffer = scene.buffer();
  await scene.finish();
  assert.ok(buffer.revoked);
  assert.ok(scene.story().includes("means-insufficient release"));
  assert.ok(scene.story().includes("ended importer-gone close"));
  scene.kernel.table.close(kept);
  assertClean(scene);
});

for (const method of ["function", "decode"] as const) {
  const reason = method === "function" ? "device-reset" : "decode-off";

  Deno.test(`Guardian.reset (${method}) ends a grant with onReset: revoke for good`, async () => {
    const scene = new Scene([{ onReset: "revoke" }]);
    await scene.start();
    const mapped = scene.importBuffer();
    const buffer = scene.buffer();
    assert.ok(mapped.iommufd.lands(mapped.ioas, mapped.iova));
    scene.packets();
    assert.deepEqual(countsOf(await scene.guardian.reset(SSD, method, "test")), {
      ended: 1,
      failed: 0,
      restored: 0,
    });
    assert.ok(!mapped.iommufd.lands(mapped.ioas, mapped.iova));
    assert.ok(buffer.revoked);
    assert.throws(() => mapped.iommufd.map(mapped.ioas, buffer, 0x1000n, undefined), /ENODEV/);
    assert.ok(scene.story().includes(`ended ${reason} hold`));
    assert.deepEqual(scene.packets().map((p) => [p["type"], p["reason"]]), [["revoked", reason]]);
    assert.deepEqual(scene.guardian.devices, []);
    await scene.finish();
    assertClean(scene);
  });

  Deno.test(`Guardian.reset (${method}) restores a grant with onReset: restore`, async () => {
    const scene = new Scene([{ onReset: "restore" }]);
    await scene.start();
    const mapped = scene.importBuffer();
    const buffer = scene.buffer();
    scene.packets();
    assert.deepEqual(countsOf(await scene.guardian.reset(SSD, method, "test")), {
      ended: 0,
      failed: 0,
      restored: 1,
    });
    assert.ok(!mapped.iommufd.lands(mapped.ioas, mapped.iova), "the old mapping is dead");
    mapped.iommufd.unmap(mapped.ioas, mapped.iova, buffer.size);
    mapped.iommufd.map(mapped.ioas, buffer, buffer.size, mapped.iova);
    assert.ok(mapped.iommufd.lands(mapped.ioas, mapped.iova), "a new one works");
    assert.deepEqual(scene.packets().map((p) => [p["type"], p["after"]]), [
      ["suspended", undefined],
      ["restored", "dead"],
    ]);
    await scene.finish();
    assertClean(scene);
  });

  Deno.test(`Guardian.reset (${method}) renews grants that stay beside one that ends`, async () => {
    const scene = new Scene([
      { name: "gone", onReset: "revoke" },
      { name: "kept", onReset: "restore" },
    ]);
    await scene.start();
    const [gone, kept] = [scene.buffer("gone"), scene.buffer("kept")];
    scene.packets();
    await scene.guardian.reset(SSD, method, "test");
    assert.ok(gone.revoked && kept.revoked);
    const granted = scene.packetsWithFiles().filter(({ packet }) => packet["type"] === "granted");
    assert.equal(granted.length, 1);
    const [fresh] = granted[0]?.files ?? [];
    assert.ok(fresh instanceof SimDmaBuf && !fresh.revoked && fresh !== kept);
    fresh.references--;
    await scene.finish();
    assertClean(scene);
  });
}

Deno.test("Guardian.reset ends the generation first where nothing can hold (a VF)", async () => {
  const scene = new Scene([{ onReset: "revoke", virtual: true }]);
  await scene.start();
  const buffer = scene.buffer();
  await scene.guardian.reset(SSD, "function", "test");
  assert.ok(buffer.revoked);
  assert.ok(scene.story().includes("ended device-reset new-generation"));
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian.reset of a device that it does not hold is not its affair", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  assert.equal(await scene.guardian.reset("0000:09:00.0", "function", "test"), undefined);
  await scene.finish();
});

Deno.test("Guardian ends grants when the device is asked for, and when it fails", async () => {
  for (
    const [which, reason] of [["request", "device-removed"], ["error", "device-error"]] as const
  ) {
    const scene = new Scene([{}]);
    await scene.start();
    const buffer = scene.buffer();
    scene.kernel.devices.get(`/dev/vfio/devices/${SSD}`)?.interrupts.get(which)?.signal();
    await settle();
    assert.ok(buffer.revoked);
    assert.ok(scene.story().includes(`ended ${reason} close`));
    assert.deepEqual(scene.guardian.devices, []);
    await scene.finish();
    assertClean(scene);
  }
});

Deno.test("Guardian.shutdown gives grace, then enforces", async () => {
  const scene = new Scene([{ graceMs: 500 }]);
  await scene.start();
  const buffer = scene.buffer();
  scene.packets();
  const done = scene.guardian.shutdown("SIGTERM");
  await scene.clock.advance(400);
  assert.ok(!buffer.revoked);
  assert.deepEqual(scene.packets().map((p) => [p["type"], p["withinMs"]]), [["revoking", 500]]);
  await scene.clock.advance(200);
  assert.ok(buffer.revoked);
  await done;
  assert.ok(scene.story().includes("ended shutdown close"));
  assert.deepEqual((await scene.finish()).child, { how: "signalled", signal: 15 });
  assertClean(scene);
});

Deno.test("Guardian.shutdown waits no longer than the importer needs", async () => {
  const scene = new Scene([{ graceMs: 500 }]);
  const child = await scene.start();
  const done = scene.guardian.shutdown("SIGINT");
  await scene.clock.advance(50);
  scene.kernel.table.close(child.fds.get("data") ?? -1);
  await scene.clock.advance(20);
  await done;
  assert.ok(scene.clock.now() < 100);
  assert.ok(scene.story().includes("ended shutdown release"));
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian ends a grant that expires", async () => {
  const scene = new Scene([{ expiresMs: 60_000, graceMs: 100 }]);
  await scene.start();
  const buffer = scene.buffer();
  await scene.clock.advance(59_999);
  assert.ok(!buffer.revoked);
  await scene.clock.advance(200);
  assert.ok(buffer.revoked);
  assert.ok(scene.story().includes("ended expired close"));
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian maps for an importer that never sees the buffer", async () => {
  const scene = new Scene([{ mapping: "bargate" }]);
  const child = await scene.start();
  assert.deepEqual([...child.fds.keys()], ["bargate"]);
  const { iommufd, ioas, number } = importerIommufd(scene);
  scene.packets();
  await scene.send({ type: "request", export: "demo/data", ioas, iova: "0x100000" }, [number]);
  assert.deepEqual(scene.packets().map((p) => [p["type"], p["iova"]]), [["granted", "0x100000"]]);
  assert.ok(iommufd.lands(ioas, 0x100000n));
  const grant = scene.events.find(({ type }) => type === "delivered")?.grant;
  await scene.send({ type: "release", grant });
  await scene.clock.advance(100);
  assert.ok(!iommufd.lands(ioas, 0x100000n));
  assert.ok(scene.story().includes("ended released unmap"));
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian takes the next means when the importer copied its area", async () => {
  const scene = new Scene([{ mapping: "bargate" }]);
  await scene.start();
  const { iommufd, ioas, number } = importerIommufd(scene);
  await scene.send({ type: "request", export: "data", ioas, iova: "0x100000" }, [number]);
  const copy = iommufd.copy(ioas, ioas, 0x100000n, 0x2000n);
  const grant = scene.events.find(({ type }) => type === "delivered")?.grant;
  await scene.send({ type: "release", grant });
  await scene.clock.advance(100);
  assert.ok(!iommufd.lands(ioas, copy));
  assert.deepEqual(scene.story().slice(-3), [
    "means-insufficient unmap",
    "device-closed",
    "ended released close",
  ]);
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian maps again after a bounce what it mapped before", async () => {
  const scene = new Scene([{ mapping: "bargate", onReset: "restore" }]);
  await scene.start();
  const { iommufd, ioas, number } = importerIommufd(scene);
  await scene.send({ type: "request", export: "data", ioas, iova: "0x100000" }, [number]);
  await scene.guardian.reset(SSD, "function", "test");
  assert.ok(iommufd.lands(ioas, 0x100000n));
  assert.deepEqual(scene.packets().at(-1)?.["after"], "resumable");
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian refuses requests that it cannot honour, and keeps none of their descriptors", async () => {
  const scene = new Scene([{ mapping: "bargate" }]);
  const child = await scene.start();
  const { ioas, number } = importerIommufd(scene);
  const before = scene.ownFds;
  scene.packets();
  const channel = child.fds.get("bargate") ?? -1;
  await scene.send({ type: "request", export: "other", ioas }, [number]);
  await scene.send({ type: "request", export: "data", ioas }, []);
  await scene.send({ type: "request", export: "data", ioas }, [number, number]);
  await scene.send({ type: "request", export: "data", ioas }, [channel]);
  await scene.send({ type: "request", export: "data", ioas: 99 }, [number]);
  await scene.send({ type: "request", export: "data", ioas, iova: "12" }, [number]);
  await scene.send({ type: "surprise" }, [number]);
  await scene.send({ type: "request", export: "data", ioas }, [number], 4711);
  const answers = scene.packets();
  assert.equal(answers.length, 8);
  assert.ok(answers.every(({ type }) => type === "refused"));
  assert.match(
    String(answers[7]?.["message"]),
    /process 4711 of account 65534, which is not the importer/,
  );
  assert.equal(scene.ownFds, before);
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian keeps no descriptor that is looked at when all has ended", async () => {
  const scene = new Scene([{ mapping: "bargate" }]);
  await scene.start();
  const { ioas, number } = importerIommufd(scene);
  const goOn = scene.kernel.stall("statx");
  await scene.send({ type: "request", export: "data", ioas }, [number]);
  await scene.send({ type: "request", export: "data", ioas }, [number]);
  await scene.finish();
  goOn();
  await settle();
  assertClean(scene);
  assert.ok(!scene.story().some((step) => step.startsWith("importer-refused")));
});

Deno.test("Guardian.open exports all or nothing", async () => {
  const scene = new Scene([{ name: "one" }, { name: "two" }]);
  scene.kernel.failNext("VFIO_DEVICE_FEATURE", "EIO");
  await assert.rejects(scene.guardian.open(), RefusedError);
  assertClean(scene);
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
  assertClean(scene);
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
    assertClean(scene);
  }
});

Deno.test("Guardian.open says that the device cannot be taken, and why", async () => {
  const scene = new Scene([{}]);
  scene.kernel.failNext("VFIO_DEVICE_BIND_IOMMUFD", "EINVAL");
  await assert.rejects(
    scene.guardian.open(),
    (error: Error) => error instanceof HostNotReadyError && /already open/.test(error.message),
  );
  assertClean(scene);
});

Deno.test("Guardian.run ends everything when the child cannot be started", async () => {
  const scene = new Scene([{}]);
  scene.kernel.failNext("posix_spawn", "ENOENT");
  await assert.rejects(scene.start(), /no child was started/);
  await assert.rejects(scene.finish(), /Cannot start \/usr\/bin\/importer/);
  assertClean(scene);
});

Deno.test("Guardian reports an end that does not return, and does not hang", async () => {
  const scene = new Scene([{}, { address: "0000:02:00.0", name: "other" }]);
  await scene.start();
  const [stuck, other] = [scene.buffer("data"), scene.buffer("other")];
  const release = scene.kernel.stall("close");
  const kept = scene.kernel.table.duplicate(scene.child.fds.get("data") ?? -1);
  const end = await scene.finish();
  assert.equal(end.trouble, true);
  assert.ok(
    scene.events.some(({ type, cause }) =>
      type === "late" && /has not returned after 1000 ms/.test(cause?.detail ?? "")
    ),
  );
  release();
  await scene.clock.advance(1000);
  assert.ok(stuck.revoked || stuck.references === 1);
  assert.ok(other.references <= 1);
  scene.kernel.table.close(kept);
});

Deno.test("Guardian takes the next means when the hold is refused, and says so", async () => {
  const scene = new Scene([{ onReset: "revoke" }]);
  await scene.start();
  const buffer = scene.buffer();
  scene.kernel.failNext("pwrite", "EIO");
  await assert.rejects(scene.guardian.reset(SSD, "function", "test"), RefusedError);
  assert.ok(buffer.revoked);
  assert.ok(scene.story().includes("ended device-reset close"));
  assert.deepEqual((await scene.finish()).trouble, false);
  assertClean(scene);
});

for (const call of ["pread", "pwrite", "close", "IOMMU_IOAS_MAP_FILE", "VFIO_DEVICE_RESET"]) {
  Deno.test(`Guardian's grants have their end when ${call} fails once in a reset`, async () => {
    for (const onReset of ["revoke", "restore"] as const) {
      const scene = new Scene([{ onReset }]);
      await scene.start();
      const buffer = scene.buffer();
      scene.kernel.failNext(call, "EIO");
      await Promise.allSettled([scene.guardian.reset(SSD, "function", "test")]);
      await scene.finish();
      assert.ok(buffer.revoked || buffer.references === 0);
      assertClean(scene);
    }
  });
}

Deno.test("Guardian does not have a device any more that it has closed", async () => {
  const other = "0000:02:00.0";
  const scene = new Scene([{}, { name: "other", address: other }]);
  await scene.start();
  assert.equal((await scene.guardian.reset(SSD, "function", "test"))?.ended, 1);
  assert.deepEqual(scene.guardian.devices, [other]);
  assert.equal(await scene.guardian.reach(SSD, "function"), undefined);
  assert.equal(await scene.guardian.reset(SSD, "function", "test"), undefined);
  assert.notEqual(await scene.guardian.reach(other, "function"), undefined);
  await scene.finish();
});

Deno.test("Guardian exports nothing any more when the child ends during a renewal", async () => {
  for (const stalled of ["openNode", "VFIO_DEVICE_FEATURE_DMA_BUF", "close"]) {
    const scene = new Scene([
      { name: "gone", onReset: "revoke" },
      { name: "kept", onReset: "restore" },
    ]);
    await scene.start();
    const goOn = scene.kernel.stall(stalled);
    const reset = scene.guardian.reset(SSD, "function", "test");
    void Promise.allSettled([reset]);
    await settle();
    scene.kernel.exit(scene.child);
    await settle();
    goOn();
    await scene.finish();
    assertClean(scene);
    const ended = scene.events.findIndex(({ type }) => type === "importer-ended");
    const delivered = scene.events.findLastIndex(({ type }) => type === "delivered");
    assert.ok(delivered < ended, "nothing is delivered to a program that has ended");
  }
});

Deno.test("Guardian renews nothing during a shutdown", async () => {
  const scene = new Scene([
    { name: "gone", onReset: "revoke", graceMs: 0 },
    { name: "kept", onReset: "restore", graceMs: 0 },
  ]);
  await scene.start();
  const goOn = scene.kernel.stall("openNode");
  void Promise.allSettled([scene.guardian.reset(SSD, "function", "test")]);
  await settle();
  const shutdown = scene.guardian.shutdown("SIGTERM");
  goOn();
  await scene.clock.advance(5_000);
  await shutdown;
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian's shutdown reaches the child whatever its device does", async () => {
  const scene = new Scene([{ graceMs: 100 }]);
  await scene.start();
  const goOn = scene.kernel.stall("close");
  const shutdown = scene.guardian.shutdown("SIGTERM");
  await scene.clock.advance(1_200);
  await shutdown;
  assert.deepEqual(scene.child.end, { how: "signalled", signal: 15 });
  goOn();
  await scene.finish();
});

Deno.test("Guardian survives a child that ends before it is told to", async () => {
  const scene = new Scene([{ graceMs: 500 }]);
  await scene.start();
  const shutdown = scene.guardian.shutdown("SIGINT");
  await scene.clock.advance(10);
  await scene.finish();
  await shutdown;
  assertClean(scene);
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
  assertClean(scene);
});

Deno.test("Guardian.open does not wait for ever for a device that does not open", async () => {
  const scene = new Scene([{}]);
  scene.kernel.stall("VFIO_DEVICE_BIND_IOMMUFD");
  const open = scene.guardian.open();
  void Promise.allSettled([open]);
  await scene.clock.advance(120_000);
  await assert.rejects(open, /has not answered within 90 s/);
});

Deno.test("Guardian ends grants whose lane has died", async () => {
  const scene = new Scene([{ expiresMs: 1000, graceMs: 0 }]);
  await scene.start();
  const buffer = scene.buffer();
  for (const lane of scene.kernel.lanes) if (lane.name === SSD) lane.die();
  await scene.clock.advance(2_000);
  assert.ok(buffer.revoked);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
  assert.equal((await scene.finish()).trouble, true, "it could not be seen");
  const ended = scene.events.filter(({ type }) => type === "ended");
  assert.deepEqual(ended.map(({ reason }) => reason), ["failed"]);
});

Deno.test("Guardian lets nothing live longer by renewing it", async () => {
  const scene = new Scene([
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore", expiresMs: 60_000, graceMs: 0 },
  ]);
  await scene.start();
  await scene.clock.advance(50_000);
  await scene.guardian.reset(SSD, "function", "test");
  await scene.clock.advance(11_000);
  assert.deepEqual(scene.guardian.devices, []);
  for (const { files } of scene.packetsWithFiles()) {
    for (const file of files) (file as SimDmaBuf).references--;
  }
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian ends a grant that was never mapped when it expires", async () => {
  const scene = new Scene([{ mapping: "bargate", expiresMs: 60_000 }]);
  await scene.start();
  await scene.clock.advance(70_000);
  assert.deepEqual(scene.guardian.devices, []);
  await scene.finish();
  assertClean(scene);
});

Deno.test("Guardian restores for an importer that has changed its address space", async () => {
  const scene = new Scene([{ mapping: "bargate", onReset: "restore" }]);
  await scene.start();
  const { iommufd, ioas, number } = importerIommufd(scene);
  await scene.send({ type: "request", export: "data", ioas, iova: "0x100000" }, [number]);
  iommufd.unmap(ioas, 0x100000n, 0x2000n);
  assert.deepEqual(countsOf(await scene.guardian.reset(SSD, "function", "test")), {
    ended: 0,
    failed: 0,
    restored: 1,
  });
  iommufd.destroy(ioas);
  await scene.guardian.reset(SSD, "function", "test");
  assert.equal(scene.packets().at(-1)?.["after"], "dead");
  const fresh = iommufd.allocate();
  await scene.send({ type: "request", export: "data", ioas: fresh }, [number]);
  assert.equal(scene.packets().at(-1)?.["type"], "granted");
  assert.equal((await scene.finish()).trouble, false, "no importer chooses the exit status");
  assertClean(scene);
});

Deno.test("Guardian gives one program the grants of one importer only", () => {
  const scene = new Scene([{}]);
  const plan = {
    host: { release: "7.3", pageSize: 4096 },
    policy: "sha256:x",
    grants: [planned(), { ...planned(), importerName: "other/engine" }],
    neighbours: new Map(),
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

Deno.test("Guardian finds a revoke late that nothing told of", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  const device = scene.kernel.devices.get(`/dev/vfio/devices/${SSD}`);
  device?.write(7, 4n, new Uint8Array([0, 0]));
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("revoking decode-off"));
  await scene.finish();
  assertClean(scene);
});

/** An iommufd of the child, as a descriptor. */
function importerIommufd(scene: Scene) {
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  (scene.child.fds as Map<string, number>).set(`iommufd ${number}`, number);
  return { iommufd, ioas, number };
}

Deno.test("Guardian renews once what is not valid after a bounce, and calls nothing late", async () => {
  const scene = new Scene([
    { name: "first", onReset: "restore" },
    { name: "second", onReset: "restore" },
  ]);
  await scene.start();
  const device = scene.kernel.devices.get(`/dev/vfio/devices/${SSD}`);
  // Past VFIO, and seen by nobody yet: the reset validates nothing.
  device?.writeCommandOutside(0);
  await scene.guardian.reset(SSD, "function", "test");
  assert.deepEqual(scene.events.filter(({ type }) => type === "late"), []);
  assert.equal((await scene.finish()).trouble, false);
  assertClean(scene);
});

Deno.test("Guardian renews on a device that is locked for a moment", async () => {
  const scene = new Scene([{ name: "gone" }, { name: "kept" }]);
  await scene.start();
  for (let turn = 0; turn < 3; turn++) scene.kernel.failNext("VFIO_DEVICE_BIND_IOMMUFD", "EAGAIN");
  const { grant } = scene.events.find((event) => event.export === "demo/gone") ?? {};
  await scene.send({ type: "release", grant });
  await scene.clock.advance(1_000);
  const renewed = scene.events.filter(({ type }) => type === "delivered").at(-1);
  assert.deepEqual([renewed?.export, renewed?.generation], ["demo/kept", 2]);
  assert.equal((await scene.finish()).trouble, false);
  assertClean(scene);
});

Deno.test("Guardian calls nothing late when all ends while the device is locked", async () => {
  const scene = new Scene([{ name: "gone" }, { name: "kept" }]);
  await scene.start();
  for (let turn = 0; turn < 40; turn++) {
    scene.kernel.failNext("VFIO_DEVICE_BIND_IOMMUFD", "EAGAIN");
  }
  const { grant } = scene.events.find((event) => event.export === "demo/gone") ?? {};
  await scene.send({ type: "release", grant });
  await scene.clock.advance(1_000);
  assert.equal((await scene.finish()).trouble, false);
  assert.ok(!scene.story().some((step) => step.startsWith("late")));
  assertClean(scene);
});

Deno.test("Guardian renews for the reason of the end that needs it, whoever takes it up", async () => {
  const scene = new Scene([
    { name: "gone", onReset: "restore" },
    { name: "kept", onReset: "restore" },
  ]);
  await scene.start();
  const goOn = scene.kernel.stall("VFIO_DEVICE_RESET");
  const reset = scene.guardian.reset(SSD, "function", "test");
  // The comparison waits for its turn before the end does, and takes it up.
  await scene.clock.advance(6_000);
  const { grant } = scene.events.find((event) => event.export === "demo/gone") ?? {};
  await scene.send({ type: "release", grant });
  goOn();
  await reset;
  await scene.clock.advance(1_000);
  const reasons = scene.events.filter(({ type }) => type === "revoking")
    .map(({ export: of, reason, cause }) => [of, reason, cause?.source]);
  assert.deepEqual(reasons, [
    ["demo/gone", "released", "channel"],
    ["demo/kept", "released", "collateral"],
  ]);
  await scene.finish();
  assertClean(scene);
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

Deno.test("an importer asks for one of many devices by the buffer's name, with the policy or without", async () => {
  const far = "0000:02:00.0";
  const specs = [SSD, far].map((address) => ({ many: true, address, mapping: "bargate" }) as const);
  const scene = new Scene(specs);
  await scene.start();
  for (const name of ["data@0000-01-00.0", "demo/data@0000-02-00.0"]) {
    const { iommufd, ioas } = scene.kernelIommufd();
    const number = scene.kernel.table.install(iommufd);
    scene.packets();
    await scene.send({ type: "request", export: name, ioas }, [number]);
    const answer = scene.packets().map(({ type, export: given }) => [type, given]);
    assert.deepEqual(answer, [["granted", `demo/${name.replace("demo/", "")}`]]);
  }
  scene.packets();
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  await scene.send({ type: "request", export: "data", ioas }, [number]);
  assert.deepEqual(scene.packets().map(({ type }) => type), ["refused"], "which of the two");
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
