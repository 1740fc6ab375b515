/** The guest itself: what the other cases build on. @module */
import assert from "node:assert/strict";
import type { LabCase } from "../guest/case.ts";
import { boundDriver } from "../guest/setup.ts";

/** Cases about the machine and its devices. */
export const cases: readonly LabCase[] = [
  {
    name: "guest: every device sits at its address, bound to its driver",
    async run({ devices }) {
      for (const { address, driver } of Object.values(devices)) {
        assert.equal(await boundDriver(address), driver, address);
      }
    },
  },
  {
    name: "guest: Bargate's command line starts",
    about: "Its start is the price of every case that uses it.",
    async run({ bargate, figure }) {
      const ran = await bargate(["--help"]);
      assert.equal(ran.status, 0, ran.stderr);
      figure("start of bargate --help, ms", Math.round(ran.ms));
    },
  },
];
