import assert from "node:assert/strict";
import { SimWorld } from "../conformance/sim_world.ts";
import { CASES, runCase, SUBJECTS, whyNot } from "../conformance/suite.ts";

Deno.test("the suite has cases of different names", () => {
  assert.ok(CASES.length >= 120, `there are ${CASES.length}`);
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length);
});

for (const { title, cases } of SUBJECTS) {
  Deno.test(`SimKernel conforms: ${title}`, async (t) => {
    for (const each of cases) {
      const world = new SimWorld();
      if (await whyNot(each, world) !== undefined) continue;
      await t.step(each.name, async () => {
        await runCase(each, world);
        assert.equal(world.kernel.ownDescriptors().length, world.own, "descriptors are left");
      });
    }
  });
}
