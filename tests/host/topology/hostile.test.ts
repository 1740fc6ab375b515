/** Whatever an inventory says, as long as it is read: every pair is judged, and every judgement told. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { pathMatrix } from "../../../engine/path_matrix.ts";
import { IommuGroups } from "../../../host/group_viability.ts";
import { judgePath } from "../../../host/topology/judge.ts";
import { PciTree } from "../../../host/topology/tree.ts";
import { pathRemedy, pathText } from "../../../host/topology/words.ts";
import { snapshots } from "../random_snapshots.ts";

Deno.test("any sound snapshot is judged without a fault, and every answer has its words", () => {
  fc.assert(fc.property(snapshots, (host) => {
    const tree = new PciTree(host);
    const groups = new IommuGroups(host);
    pathMatrix(host);
    for (const exporter of host.functions) {
      const viability = groups.viability(exporter);
      assert.equal(viability === undefined, exporter.iommuGroup === undefined);
      for (const importer of host.functions) {
        const judged = judgePath(tree, exporter, importer);
        assert.ok(pathText(judged).length > 0);
        assert.equal(pathRemedy(judged) === undefined, judged.kind === "direct");
        const back = judgePath(tree, importer, exporter);
        assert.deepEqual([back.kind, back.path.distance], [judged.kind, judged.path.distance]);
      }
    }
  }));
});
