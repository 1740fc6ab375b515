/**
 * The conformance suite on a simulated host with real descriptors: run by `hosted.test.ts` in a process
 * of its own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { MACHINE, SimWorld } from "../../conformance/sim_world.ts";
import { CASES, runCase, SUBJECTS, whyNot } from "../../conformance/suite.ts";
import { hostOf, leavingNothing } from "./hosted_support.ts";

/** Nothing is borrowed from other processes, for it could be of a real device. */
const BORROWS: ReadonlySet<string> = new Set([
  "A copy is lent by a process only where it has one: EBADF",
  "Nothing is borrowed from a process that has ended: ESRCH",
]);

Deno.test("what borrows is among the cases", () => {
  const names = new Set(CASES.map(({ name }) => name));
  assert.deepEqual([...BORROWS].filter((name) => !names.has(name)), []);
});

for (const { title, cases } of SUBJECTS) {
  Deno.test(`HostedKernel conforms: ${title}`, async (t) => {
    for (const each of cases.filter(({ name }) => !BORROWS.has(name))) {
      await leavingNothing(async () => {
        const kernel = hostOf(MACHINE);
        const world = new SimWorld(kernel);
        if (await whyNot(each, world) === undefined) {
          await t.step(each.name, () => runCase(each, world));
        }
        world.close();
        assert.equal(kernel.table.size, 0, "something stands for what has gone");
      });
    }
  });
}
