/** Resets of a guardian's devices, and what is renewed. @module */
import assert from "node:assert/strict";
import { RefusedError } from "../../engine/errors.ts";
import { SimDmaBuf } from "../../sim/vfio.ts";
import { assertAllOver, countsOf, Scene, settle, SSD } from "./support.ts";

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
    assertAllOver(scene);
  });

  Deno.test("a reset in the grace of an end is the end: nothing of it is valid again", async () => {
    const scene = new Scene([{ expiresMs: 1_000, graceMs: 20_000 }]);
    await scene.start();
    const buffer = scene.buffer();
    const moves: boolean[] = [];
    buffer.onMove = () => moves.push(buffer.revoked);
    await scene.clock.advance(1_100);
    assert.ok(scene.story().includes("revoking expired"));
    await scene.guardian.reset(SSD, "function", "test");
    assert.ok(moves.length > 0 && moves.every((revoked) => revoked), "never valid again");
    assert.ok(scene.story().includes("ended expired hold"), scene.story().join("\n"));
    await scene.finish();
    assertAllOver(scene);
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
    assertAllOver(scene);
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
    assertAllOver(scene);
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
  assertAllOver(scene);
});

Deno.test("Guardian.reset of a device that it does not hold is not its affair", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  assert.equal(await scene.guardian.reset("0000:09:00.0", "function", "test"), undefined);
  await scene.finish();
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
  assertAllOver(scene);
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
      assertAllOver(scene);
    }
  });
}

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
    assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
});

Deno.test("Guardian finds a revoke late that nothing told of", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  const device = scene.kernel.devices.get(`/dev/vfio/devices/${SSD}`);
  device?.write(7, 4n, new Uint8Array([0, 0]));
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("revoking decode-off"));
  await scene.finish();
  assertAllOver(scene);
});

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
  assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
});
