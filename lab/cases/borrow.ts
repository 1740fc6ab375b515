/** A device that another process owns. @module */
import assert from "node:assert/strict";
import type { LabCase } from "../guest/case.ts";
import { assertOver, borrowPolicy, LabOwner, mapUntil, OWNER_ENDS } from "./owner_support.ts";
import { endOf, LabExport } from "./support.ts";

/** Cases of borrowed devices. */
export const cases: readonly LabCase[] = [
  {
    name: "borrow: a slice of another process's device is lent, and let go",
    async run(context) {
      const owner = await LabOwner.holding(context);
      const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
      await lab.map("data");
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
      assert.deepEqual([endOf(lab.events).reason, endOf(lab.events).means], [
        "importer-gone",
        "release",
      ]);
      await owner.control.must("close held");
    },
  },
  ...OWNER_ENDS.map(({ how, go }): LabCase => ({
    name: `borrow: ${how} ends the grant at once, for no copy is held`,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
      await mapUntil(context, lab, () => go(owner));
      await assertOver(lab);
    },
  })),
  {
    name: "borrow: a device that somebody else has open is not lent",
    limitMs: 180_000,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const path = `${context.scratch}/policy.yaml`;
      const stranger = `{ user: nobody, executable: ${context.program("importer")} }`;
      await Deno.writeTextFile(path, borrowPolicy(context, stranger));
      const ran = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
      assert.equal(ran.status, 1, ran.stderr);
      assert.match(ran.stderr, /user must be nobody, uid 65534 \(received uid 0\)/);
      await owner.control.must("close held");
      const nobody = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
      assert.equal(nobody.status, 4, nobody.stderr);
      assert.match(nobody.stderr, /no process that can be its owner has it open/);
    },
  },
];
