/** Judging by classes comes to what judging each comes to. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ImporterClasses } from "../../engine/importer_classes.ts";
import { judgePath, type PathJudgement } from "../../host/topology/judge.ts";
import { PciTree } from "../../host/topology/tree.ts";
import { snapshots } from "../host/random_snapshots.ts";
import { hostOf, type Spec } from "../host/topology/support.ts";
import { runs } from "../support/runs.ts";

/** Trees of a few bridges, of which some redirect, with everything at any depth. */
const trees = fc.array(
  fc.record({
    above: fc.nat(6),
    bus: fc.nat(1),
    acs: fc.constantFrom(undefined, 0, 0x04, 0x20),
  }),
  { minLength: 1, maxLength: 16 },
).map((nodes) => {
  const addressOf = (index: number) => `0000:${(index + 1).toString(16).padStart(2, "0")}:00.0`;
  return hostOf(nodes.map(({ above, bus, acs }, index): Spec => ({
    address: addressOf(index),
    parent: above < index ? addressOf(above) : `pci000${bus}:00`,
    ...(acs === undefined ? {} : { acs }),
  })));
});

const answer = ({ kind, supported, path, reason }: PathJudgement) =>
  `${kind} ${supported} ${path.distance} ${reason.code}`;

Deno.test("classes of importers have the answers of their functions, all of them", () => {
  let together = 0;
  fc.assert(
    fc.property(fc.oneof(trees, snapshots), fc.nat(2), (host, skip) => {
      const tree = new PciTree(host);
      const importers = host.functions.filter((_, index) => skip === 0 || index % (skip + 1) === 0);
      const classes = new ImporterClasses(tree, importers);
      assert.equal(classes.count, importers.length);
      for (const exporter of host.functions) {
        const judged = importers.map((each) => judgePath(tree, exporter, each));
        const expected = Map.groupBy(judged, answer);
        const found = classes.from(exporter);
        const counts = new Map<string, number>();
        for (const { judgement, count, first } of found) {
          together += count - 1;
          const key = answer(judgement);
          counts.set(key, (counts.get(key) ?? 0) + count);
          for (const { place } of first) assert.equal(answer(judged[place] as PathJudgement), key);
          assert.deepEqual(judgement, judged[first[0]?.place ?? -1]);
        }
        for (const [key, all] of expected) assert.equal(counts.get(key), all.length, key);
        assert.equal(counts.size, expected.size);
        const nearest = [...judged].sort((a, b) => a.path.distance - b.path.distance)[0];
        assert.equal(found[0]?.judgement.importer, nearest?.importer);
      }
    }),
    { numRuns: runs(300) },
  );
  assert.ok(together > 0, "some are judged together");
});
