/** What a guardian maps for importers, and what they ask for. @module */
import assert from "node:assert/strict";
import { assertAllOver, countsOf, importerIommufd, Scene, settle, SSD } from "./support.ts";

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
  assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
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
  assertAllOver(scene);
  assert.ok(!scene.story().some((step) => step.startsWith("importer-refused")));
});

Deno.test("Guardian ends a grant that was never mapped when it expires", async () => {
  const scene = new Scene([{ mapping: "bargate", expiresMs: 60_000 }]);
  await scene.start();
  await scene.clock.advance(70_000);
  assert.deepEqual(scene.guardian.devices, []);
  await scene.finish();
  assertAllOver(scene);
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
  assertAllOver(scene);
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
