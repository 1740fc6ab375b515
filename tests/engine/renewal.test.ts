/**
 * New generations of a device that cannot be made: the device has gone meanwhile, or somebody else
 * has it.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { SimErrno } from "../../sim/errno.ts";
import { countsOf, Scene, settle, SSD } from "./support.ts";

/** One grant ends alone, and its device has another, which must be renewed for that. */
async function twoGrants(): Promise<Scene> {
  const scene = new Scene([
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore" },
  ]);
  await scene.start();
  return scene;
}

async function release(scene: Scene): Promise<void> {
  const { grant } = scene.events.find((event) => event.export === "demo/gone") ?? {};
  await scene.send({ type: "release", grant });
  await scene.clock.advance(10_000);
}

/** Ends of grants, in order. */
function ends(scene: Scene) {
  return scene.events.filter(({ type }) => type === "ended")
    .map(({ export: of, reason, means }) => [of, reason, means]);
}

async function assertNotLate(scene: Scene): Promise<void> {
  assert.deepEqual(scene.events.filter(({ type }) => type === "late"), []);
  assert.equal((await scene.finish()).trouble, false);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
  assert.equal(scene.ownFds, 0);
}

const REFUSALS: readonly (readonly [string, SimErrno, string])[] = [
  ["openNode", "ENOENT", "device-removed"],
  ["openNode", "ENODEV", "device-removed"],
  ["VFIO_DEVICE_BIND_IOMMUFD", "ENODEV", "device-removed"],
  ["pread", "EIO", "device-error"],
  ["VFIO_DEVICE_SET_IRQS", "EIO", "device-error"],
  ["VFIO_DEVICE_BIND_IOMMUFD", "EBUSY", "failed"],
  ["VFIO_DEVICE_FEATURE_DMA_BUF", "EINVAL", "failed"],
];

for (const [call, errno, reason] of REFUSALS) {
  Deno.test(`a renewal that ${call} refuses with ${errno} ends as ${reason}, and is not late`, async () => {
    const scene = await twoGrants();
    scene.kernel.failNext(call, errno);
    await release(scene);
    assert.deepEqual(ends(scene), [
      ["demo/gone", "released", "new-generation"],
      ["demo/kept", "released", "new-generation"],
      ["demo/kept", reason, undefined],
    ]);
    const cause = scene.events.findLast(({ type }) => type === "ended")?.cause;
    assert.match(cause?.detail ?? "", /^Cannot /, "the audit says why");
    await assertNotLate(scene);
  });
}

Deno.test("a renewal of a device that was unbound between two generations is not late", async () => {
  const scene = await twoGrants();
  const goOn = scene.kernel.stall("openNode");
  await release(scene);
  scene.kernel.devices.delete(`/dev/vfio/devices/${SSD}`);
  goOn();
  await scene.clock.advance(1_000);
  assert.deepEqual(ends(scene).at(-1), ["demo/kept", "device-removed", undefined]);
  await assertNotLate(scene);
});

Deno.test("a renewal of a device in whose place is another one ends as device-removed", async () => {
  const scene = await twoGrants();
  const goOn = scene.kernel.stall("openNode");
  await release(scene);
  scene.kernel.functionAt(SSD).fn.config[0] = 0xff;
  goOn();
  await scene.clock.advance(1_000);
  assert.deepEqual(ends(scene).at(-1), ["demo/kept", "device-removed", undefined]);
  await assertNotLate(scene);
});

Deno.test("a reset tells of what it could not renew", async () => {
  const scene = await twoGrants();
  scene.kernel.failNext("openNode", "ENOENT");
  const outcome = await scene.guardian.reset(SSD, "function", "test");
  assert.deepEqual(countsOf(outcome), { ended: 2, failed: 0, restored: 0 });
  await assertNotLate(scene);
});

Deno.test("a reset that needs a new generation says why there is none", async () => {
  const scene = new Scene([
    { name: "gone", virtual: true, holds: [] },
    { name: "kept", virtual: true, holds: [], onReset: "restore" },
  ]);
  await scene.start();
  scene.kernel.failNext("openNode", "ENOENT");
  await assert.rejects(scene.guardian.reset(SSD, "function", "test"), {
    name: "RefusedError",
    message: /it was not reset: .*Cannot open \/dev\/vfio\/devices/,
  });
  await settle();
  await assertNotLate(scene);
});

Deno.test("what cannot be mapped again for its importer ends, and the importer is told", async () => {
  const scene = new Scene([
    { name: "gone" },
    { name: "kept", mapping: "bargate", onReset: "restore" },
  ]);
  await scene.start();
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  (scene.child.fds as Map<string, number>).set("iommufd", number);
  await scene.send({ type: "request", export: "kept", ioas }, [number]);
  scene.importBuffer("gone");
  scene.packets();
  // The importer's own doing: then there is nothing to map into.
  iommufd.destroy(ioas);
  await release(scene);
  assert.deepEqual(ends(scene), [
    ["demo/gone", "released", "new-generation"],
    ["demo/kept", "released", "new-generation"],
    ["demo/kept", "failed", "release"],
  ]);
  const cause = scene.events.findLast(({ type }) => type === "revoking")?.cause;
  assert.match(cause?.detail ?? "", /^Cannot map demo\/kept for importer engine: /);
  const { grant } = scene.events.at(-2) ?? {};
  assert.deepEqual(scene.events.slice(-2).map(({ type }) => type), ["ended", "device-closed"]);
  assert.deepEqual(
    scene.packets().filter((packet) => packet["grant"] === grant)
      .map(({ type, export: of, reason }) => [type, of, reason]),
    [["granted", "demo/kept", undefined], ["revoked", undefined, "failed"]],
  );
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
  await assertNotLate(scene);
});
