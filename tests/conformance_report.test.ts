import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { CheckedResults } from "../conformance/report.ts";
import { difference, shortened, type Step } from "../conformance/differential.ts";
import { histories } from "../conformance/random_steps.ts";
import { SimWorld } from "../conformance/sim_world.ts";
import { CASES } from "../conformance/suite.ts";
import { freshReport } from "../docs/generate_conformance.ts";
import { runs } from "./support/runs.ts";

const CHECKED = new URL("../conformance/kernel.checked.json", import.meta.url);
const DOCUMENT = new URL("../docs/conformance.md", import.meta.url);

Deno.test("docs/conformance.md is fresh: deno run -A docs/generate_conformance.ts", async () => {
  assert.equal(await Deno.readTextFile(DOCUMENT), await freshReport());
});

Deno.test("the kernel's column has every case: deno task lab --update-conformance", async () => {
  const { results }: CheckedResults = JSON.parse(await Deno.readTextFile(CHECKED));
  assert.deepEqual(Object.keys(results).sort(), CASES.map(({ name }) => name).sort());
  const bad = Object.entries(results).filter(([, outcome]) => !/^(holds|not run: )/.test(outcome));
  assert.deepEqual(bad, []);
});

Deno.test("a history that differs is made as short as it gets", async () => {
  const [open, bind, allocate] = [
    { do: "open", player: 0 },
    { do: "bind", device: 0, to: 0 },
    { do: "allocate", iommufd: 0 },
  ] as const;
  const differs = (steps: readonly Step[]) =>
    Promise.resolve(steps.includes(open) && steps.includes(allocate));
  assert.deepEqual(await shortened([bind, open, bind, allocate, bind], differs), [open, allocate]);
});

Deno.test("histories mean the same on two simulations", async () => {
  await fc.assert(
    fc.asyncProperty(histories(20), async (steps) => {
      assert.equal(await difference(steps, [new SimWorld(), new SimWorld()]), undefined);
    }),
    { numRuns: runs(100) },
  );
});
