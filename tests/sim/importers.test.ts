import assert from "node:assert/strict";
import { IMPORTER_DRIVERS } from "../../policy/importer_drivers.ts";
import { SIM_IMPORTERS } from "../../sim/importer.ts";
import { Scene, settle, SSD } from "../engine/support.ts";

Deno.test("the simulation's importers are what the policy language takes them for", () => {
  for (const [name, { dynamic, invalidates, comesBack }] of Object.entries(SIM_IMPORTERS)) {
    const driver = IMPORTER_DRIVERS.get(name);
    assert.equal(driver?.verdict, dynamic && invalidates ? "accepts" : "refuses", name);
    assert.equal(driver?.afterBounce, comesBack ? "resumable" : "dead", name);
  }
  const missing = [...IMPORTER_DRIVERS].flatMap(([name, { verdict }]) =>
    verdict === "accepts" && !Object.hasOwn(SIM_IMPORTERS, name) ? [name] : []
  );
  assert.deepEqual(missing, ["iommufd"], "which has a simulation of its own");
});

Deno.test("after a restore a resumable importer goes on, and a one-shot one must import again", async () => {
  for (const driver of ["mlx5", "irdma"] as const) {
    const scene = new Scene([{ onReset: "restore" }]);
    await scene.start();
    const fd = scene.child.fds.get("data") ?? -1;
    const importer = scene.kernel.importBuffer(driver, fd);
    const outcome = await scene.guardian.reset(SSD, "function", "test");
    assert.equal(outcome?.restored, 1);
    assert.equal(importer.lands(), driver === "mlx5");
    const again = scene.kernel.importBuffer(driver, fd);
    assert.ok(again.lands());
    await scene.finish();
    assert.ok(!importer.lands() && !again.lands());
    for (const each of [importer, again]) each.leave();
  }
});

Deno.test("an importer that lets go late delays the reset that ends its grant, and no import of it", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  const fd = scene.child.fds.get("data") ?? -1;
  const importer = scene.kernel.importBuffer("xe", fd);
  let over = false;
  const reset = scene.guardian.reset(SSD, "function", "test").finally(() => over = true);
  void Promise.allSettled([reset]);
  await settle();
  assert.ok(!over);
  assert.throws(() => scene.kernel.importBuffer("mlx5", fd), { errnoName: "ENODEV" });
  assert.ok(!importer.lands());
  await scene.clock.advance(10_000);
  assert.ok(!scene.kernel.functionAt(SSD).isOpen);
  importer.leave();
  await scene.finish();
});
