/** How what a guardian grants ends. @module */
import assert from "node:assert/strict";
import { assertAllOver, Scene, settle, SSD } from "./support.ts";

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
  assertAllOver(scene);
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
    assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
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

Deno.test("a device whose importer does not let go keeps no other one, and is reported", async () => {
  const scene = new Scene([{}, { address: "0000:02:00.0", name: "other" }]);
  await scene.start();
  const stuck = scene.buffer("data");
  const other = scene.kernel.functionAt("0000:02:00.0");
  const kept = scene.kernel.table.duplicate(scene.child.fds.get("data") ?? -1);
  const letGo = stuck.hold();
  const end = await scene.finish();
  assert.equal(end.trouble, true);
  assert.ok(stuck.revoked && !stuck.dead, "revoked, and waiting");
  assert.ok(!other.isOpen);
  const late = scene.events.flatMap(({ type, cause }) => type === "late" ? cause?.detail : []);
  assert.match(late.join("; "), /has not returned after 1000 ms/);
  letGo();
  await scene.clock.advance(1000);
  assert.ok(stuck.dead);
  scene.kernel.table.close(kept);
});

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
  assertAllOver(scene);
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
  assertAllOver(scene);
});

/** A child that SIGTERM does not end. */
async function stubborn(): Promise<Scene> {
  const scene = new Scene([{ graceMs: 100 }]);
  const { kernel } = scene;
  const signal = kernel.signal.bind(kernel);
  kernel.signal = (pidfd, number) => number === SIGTERM || signal(pidfd, number);
  await scene.start();
  return scene;
}

const SIGTERM = 15;
const KILLED = { how: "signalled", signal: 9 } as const;

function told(scene: Scene, type: string): readonly (string | undefined)[] {
  return scene.events.filter((event) => event.type === type).map(({ cause }) => cause?.detail);
}

Deno.test("Guardian says whose end it waits for, and kills a program that ignores SIGTERM", async () => {
  const scene = await stubborn();
  const shutdown = scene.guardian.shutdown("SIGTERM");
  await scene.clock.advance(200);
  await shutdown;
  const { pid } = scene.child;
  assert.deepEqual(told(scene, "importer-asked"), [
    `process ${pid}, by SIGTERM; it is killed unless it has ended within 30 s`,
  ]);
  await scene.clock.advance(29_800);
  assert.equal(scene.child.end, undefined);
  await scene.clock.advance(200);
  assert.deepEqual(scene.child.end, KILLED);
  assert.deepEqual(told(scene, "importer-killed"), [`process ${pid} has not ended within 30 s`]);
  const { child, trouble } = await scene.finish();
  assert.deepEqual([child, trouble], [KILLED, false]);
  assertAllOver(scene);
});

Deno.test("Guardian.insist kills the program once its grants have ended, and not before", async () => {
  const scene = await stubborn();
  const shutdown = scene.guardian.shutdown("SIGTERM");
  await scene.clock.advance(50);
  assert.equal(scene.guardian.insist("SIGINT"), "grants");
  assert.equal(scene.child.end, undefined);
  await scene.clock.advance(150);
  await shutdown;
  assert.equal(scene.guardian.insist("SIGINT"), "killed");
  assert.deepEqual(scene.child.end, KILLED);
  assert.equal(scene.guardian.insist("SIGINT"), "nothing", "each is killed once");
  assert.deepEqual(told(scene, "importer-killed"), ["SIGINT"]);
  await scene.finish();
  assertAllOver(scene);
});
