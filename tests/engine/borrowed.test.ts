/** A device that another process has open. @module */
import assert from "node:assert/strict";
import { DeniedError, HostNotReadyError, RefusedError } from "../../engine/errors.ts";
import { DEVICE_FOLDER, type Owned, owned, OWNER_PID } from "./owner_scene.ts";
import { countsOf, type Scene, settle, SSD } from "./support.ts";

Deno.test("a borrowed device is exported from, and no copy of its descriptor is left", async () => {
  const { scene, device, end } = await owned();
  await scene.start();
  assert.equal(device.references, 1, "the owner's own");
  assert.ok(!scene.buffer().revoked);
  assert.equal((await scene.finish()).trouble, false);
  assert.deepEqual(scene.story().slice(-2), [
    "revoking importer-gone",
    "ended importer-gone release",
  ]);
  assert.ok(scene.story().includes("device-borrowed"));
  assert.ok(!scene.story().includes("device-closed"), "it is not ours to close");
  end();
  assert.equal(scene.ownFds, 0);
});

Deno.test("the owner's end ends the grant at once", async () => {
  const { scene, end } = await owned();
  await scene.start();
  const buffer = scene.buffer();
  end();
  assert.ok(buffer.revoked);
  await scene.clock.advance(0);
  assert.ok(scene.story().includes("ended owner-gone close"), scene.story().join("\n"));
  assert.equal((await scene.finish()).trouble, false);
  assert.equal(scene.ownFds, 0);
});

Deno.test("the owner's close is found, and ends the grant", async () => {
  const { scene, close } = await owned();
  await scene.start();
  close();
  assert.ok(scene.buffer().revoked);
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("ended owner-gone close"), scene.story().join("\n"));
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("the owner's close is seen by its node, without waiting for the next look", async () => {
  const { scene, close } = await owned();
  await scene.start();
  close();
  scene.kernel.fileWatches.tell(`/dev/vfio/devices/${SSD}`, "close-write");
  await scene.clock.advance(100);
  assert.ok(scene.story().includes("ended owner-gone close"), scene.story().join("\n"));
  await scene.finish();
});

Deno.test("what the owner holds revoked for a while is suspended, and comes back", async () => {
  const { scene, device } = await owned();
  await scene.start();
  device.device.write(7, 4n, new Uint8Array([0, 0]));
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("suspended"));
  device.device.write(7, 4n, new Uint8Array([2, 0]));
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("restored"));
  assert.equal((await scene.finish()).trouble, false);
});

/** The owner resets, and the kernel's revoke routine is traced. */
async function bounce({ scene, device }: Owned): Promise<void> {
  device.device.bounce();
  for (const revoked of [true, false]) trace(scene, revoked);
  await settle();
}

function trace(scene: Scene, revoked: boolean): void {
  for (const each of scene.kernel.revokeTraces) {
    each.push({ device: SSD, revoked, pid: OWNER_PID, task: "tgt" });
  }
}

const TRACED = { traceRevokes: true };
const CAUSE = {
  source: "revoke-trace",
  detail: `all buffers revoked, by thread ${OWNER_PID} (tgt)`,
};

Deno.test("a reset by the owner ends the grant when the importer has let go", async () => {
  const it = await owned({}, undefined, TRACED);
  const { scene } = it;
  const child = await scene.start();
  await bounce(it);
  const revoking = scene.packets().find(({ type }) => type === "revoking");
  assert.deepEqual([revoking?.["reason"], revoking?.["withinMs"]], ["device-reset", 100]);
  assert.deepEqual(scene.events.find(({ type }) => type === "revoking")?.cause, CAUSE);
  scene.kernel.table.close(child.fds.get("data") ?? -1);
  await scene.clock.advance(50);
  assert.ok(scene.story().includes("ended device-reset release"), scene.story().join("\n"));
  assert.equal((await scene.finish()).trouble, false);
  it.end();
  assert.equal(scene.ownFds, 0);
});

Deno.test("a reset by the owner suspends and restores, and mappings of Bargate's work again", async () => {
  const it = await owned({ onReset: "restore", mapping: "bargate" }, undefined, TRACED);
  const { scene } = it;
  const child = await scene.start();
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  (child.fds as Map<string, number>).set("iommufd", number);
  await scene.send({ type: "request", export: "data", ioas }, [number]);
  const granted = scene.packets().find(({ type, iova }) => type === "granted" && iova);
  const iova = BigInt(String(granted?.["iova"]));
  await bounce(it);
  assert.ok(iommufd.lands(ioas, iova));
  const told = scene.packets().map(({ type, after }) => [type, after]);
  assert.deepEqual(told, [["suspended", undefined], ["restored", "resumable"]]);
  assert.deepEqual(scene.events.find(({ type }) => type === "suspended")?.cause, CAUSE);
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("a reset by the owner that takes its time suspends, and restores only once", async () => {
  const { scene, device } = await owned({ onReset: "restore" }, undefined, TRACED);
  await scene.start();
  device.device.write(7, 4n, new Uint8Array([0, 0]));
  trace(scene, true);
  await settle();
  assert.ok(scene.story().includes("suspended"));
  device.device.write(7, 4n, new Uint8Array([2, 0]));
  await scene.clock.advance(6_000);
  assert.ok(!scene.story().includes("restored"), "the trace has not told of it yet");
  trace(scene, false);
  await settle();
  const words = ["suspended", "restored"];
  assert.deepEqual(scene.story().filter((line) => words.includes(line)), words);
  await scene.finish();
});

Deno.test("an un-revoke that is told before it is done is taken up by the next look", async () => {
  const { scene, device } = await owned({ onReset: "restore" }, undefined, TRACED);
  await scene.start();
  device.device.write(7, 4n, new Uint8Array([0, 0]));
  for (const revoked of [true, false]) trace(scene, revoked);
  await settle();
  assert.ok(!scene.story().includes("restored"));
  device.device.write(7, 4n, new Uint8Array([2, 0]));
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("restored"));
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("an un-revoke without a revoke is nothing, and records that were lost may be a reset", async () => {
  const { scene } = await owned({}, undefined, TRACED);
  const child = await scene.start();
  trace(scene, false);
  await settle();
  assert.ok(!scene.story().some((line) => line.startsWith("revoking")));
  for (const each of scene.kernel.revokeTraces) each.push("overrun");
  await settle();
  assert.ok(scene.story().includes("revoking device-reset"));
  scene.kernel.table.close(child.fds.get("data") ?? -1);
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("without the trace it is said that resets by the owner are not seen", async () => {
  const it = await owned();
  await it.scene.start();
  const unseen = it.scene.events.find(({ type }) => type === "unobserved");
  assert.equal(unseen?.device, SSD);
  assert.match(unseen?.cause?.detail ?? "", /--trace-revokes/);
  await bounce(it);
  assert.ok(!it.scene.story().some((line) => line.startsWith("revoking")));
  await it.scene.finish();
});

Deno.test("an importer that does not let go of a borrowed buffer is trouble, said once", async () => {
  const { scene } = await owned({ expiresMs: 1_000 });
  const child = await scene.start();
  await scene.clock.advance(20_000);
  const late = scene.events.filter(({ type }) => type === "late");
  assert.equal(late.length, 1);
  assert.match(late[0]?.cause?.detail ?? "", /importer engine has not let go/);
  scene.kernel.table.close(child.fds.get("data") ?? -1);
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("ended expired release"), "seen when it has let go at last");
  assert.equal((await scene.finish()).trouble, true);
});

Deno.test("what an importer does not let go of ends with the owner's close all the same", async () => {
  const { scene, close } = await owned({ expiresMs: 1_000 });
  await scene.start();
  await scene.clock.advance(10_000);
  assert.ok(scene.story().includes("late"));
  close();
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("ended expired close"), scene.story().join("\n"));
  assert.equal((await scene.finish()).trouble, true);
});

Deno.test("an importer is told the reason of its grant's end, whatever else looks at the device then", async () => {
  const { scene } = await owned();
  await scene.start();
  scene.packets();
  const goOn = scene.kernel.stall("IOMMU_IOAS_MAP_FILE");
  await scene.clock.advance(6_000);
  await scene.touch("remove", "open");
  goOn();
  await scene.clock.advance(100);
  const told = scene.packets().filter(({ type }) => type === "revoking");
  assert.deepEqual(told.map(({ reason }) => reason), ["device-removed"]);
  await scene.finish();
});

Deno.test("a descendant that keeps a borrowed buffer makes the end one that cannot be seen", async () => {
  const { scene } = await owned();
  const child = await scene.start();
  scene.kernel.table.duplicate(child.fds.get("data") ?? -1);
  assert.equal((await scene.finish()).trouble, true);
  assert.deepEqual(scene.events.findLast(({ type }) => type === "ended")?.reason, "failed");
});

Deno.test("a borrowed device is reset by its owner only", async () => {
  const { scene } = await owned();
  await scene.start();
  await assert.rejects(
    scene.guardian.reset(SSD, "function", "test"),
    (error: Error) => error instanceof RefusedError && /its owner's to do/.test(error.message),
  );
  await scene.finish();
});

Deno.test("a borrowed device makes way within what its operator waits for, whatever its grace", async () => {
  const { scene } = await owned({ graceMs: 300_000 });
  const child = await scene.start();
  const way = scene.guardian.makeWay([SSD], "test");
  await scene.clock.advance(29_000);
  const told = scene.packets().filter(({ type }) => type === "revoking");
  assert.deepEqual(told.map(({ withinMs }) => withinMs), [30_000]);
  await scene.clock.advance(2_000);
  assert.deepEqual(countsOf(await way), { ended: 0, failed: 1, restored: 0 });
  scene.kernel.table.close(child.fds.get("data") ?? -1);
  await scene.finish();
});

Deno.test("nothing is borrowed from somebody else, from nobody, or in low power", async () => {
  const stranger = await owned({}, "other.service");
  await assert.rejects(
    stranger.scene.guardian.open(),
    (error: Error) =>
      error instanceof DeniedError && /unit must be tgt.service/.test(error.message),
  );
  const nobody = await owned();
  nobody.close();
  await assert.rejects(nobody.scene.guardian.open(), HostNotReadyError);
  const asleep = [
    ["power_state", "D3hot"],
    ["power/runtime_status", "suspended"],
    ["power/runtime_status", "suspending"],
  ] as const;
  for (const [file, state] of asleep) {
    const { scene, device } = await owned();
    scene.files.tree[`${DEVICE_FOLDER}/${file}`] = `${state}\n`;
    await assert.rejects(scene.guardian.open(), /low power/);
    assert.equal(device.references, 1);
  }
});

Deno.test("nothing is borrowed that sleeps by its own register, or that the kernel cannot resume", async () => {
  const sleeping = await owned();
  const { config } = sleeping.device.device.fn;
  config[0x06] = 0x10;
  config[0x34] = 0xe0;
  config.set([1], 0xe0);
  sleeping.device.device.write(7, 0xe4n, Uint8Array.of(3));
  await assert.rejects(
    sleeping.scene.guardian.open(),
    (error: Error) =>
      error instanceof HostNotReadyError &&
      /low power \(in D3hot by its own register, while the kernel takes it for awake\)/
        .test(error.message),
  );
  assert.equal(sleeping.device.references, 1, "no copy is left");
  const lost = await owned();
  lost.scene.files.tree[`${DEVICE_FOLDER}/power/runtime_status`] = "error\n";
  await assert.rejects(lost.scene.guardian.open(), /does not resume it any more/);
  assert.equal(lost.device.references, 1);
});

Deno.test("a descriptor that has become another device's is not exported from", async () => {
  const { scene, device } = await owned();
  Object.assign(device.device.fn, { address: "0000:09:00.0" });
  await assert.rejects(
    scene.guardian.open(),
    /the owner's descriptor is of device 0000:09:00.0, by now/,
  );
  assert.equal(device.references, 1);
});

Deno.test("who has become somebody else when the descriptor is taken is not exported from", async () => {
  const { scene, process, device } = await owned();
  const borrow = scene.kernel.borrow.bind(scene.kernel);
  scene.kernel.borrow = (...args) => {
    const taken = borrow(...args);
    Object.assign(process.identity, { unit: "other.service" });
    return taken;
  };
  await assert.rejects(
    scene.guardian.open(),
    (error: Error) =>
      error instanceof DeniedError && /is not its owner any more: unit must be/.test(error.message),
  );
  assert.equal(device.references, 1, "no copy is left");
});

Deno.test("another device than the planned one is not borrowed, whatever its address", async () => {
  const drifts: readonly (readonly [RegExp, (config: Uint8Array) => void])[] = [
    [/its id is dead:beef, and not 1b36:0010/, (it) => it.set([0xad, 0xde, 0xef, 0xbe], 0)],
    [/its subsystem is 0002:0001, and not 0000:0000/, (it) => it.set([2, 0, 1, 0], 0x2c)],
    [/its class is 010802, and not 000000/, (it) => it.set([2, 8, 1], 0x09)],
    [/its MSI-X is msix-table in BAR 0 .*, and not none/, (it) => {
      it.set([0x10], 0x06);
      it.set([0x40], 0x34);
      it.set([0x11, 0, 0, 0, 0, 0x20], 0x40);
    }],
  ];
  for (const [told, drift] of drifts) {
    const { scene, device } = await owned();
    drift(device.device.fn.config);
    await assert.rejects(
      scene.guardian.open(),
      (error: Error) => error instanceof HostNotReadyError && told.test(error.message),
    );
    assert.equal(device.references, 1, "no copy is left");
    assert.ok(!scene.story().includes("exported"));
  }
});

Deno.test("a borrowed device's serial number is the planned one", async () => {
  const { scene } = await owned({ serial: "00-00-00-00-00-00-00-08" });
  await assert.rejects(
    scene.guardian.open(),
    /its serial number is none, and not 00-00-00-00-00-00-00-08/,
  );
  const blind = await owned();
  blind.scene.kernel.failNext("config", "ENOENT");
  await assert.rejects(
    blind.scene.guardian.open(),
    (error: Error) =>
      error instanceof HostNotReadyError &&
      error.message.startsWith(`Cannot read from sysfs which device ${SSD} is: `),
  );
});

Deno.test("a borrow that fails for want of an IOAS leaves nothing open", async () => {
  const { scene } = await owned();
  const before = scene.kernel.table.open().length;
  scene.kernel.failNext("IOMMU_IOAS_ALLOC", "ENOSPC");
  await assert.rejects(scene.guardian.open(), /allocate an IOAS/);
  assert.equal(scene.kernel.table.open().length, before);
});
