/** Devices that no IOMMU confines: nothing is exported from them. */
import assert from "node:assert/strict";
import { makePlan } from "../../engine/plan.ts";
import { preflight } from "../../engine/preflight/preflight.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy, SSD } from "../engine/planning.ts";

function errors(on: HostSnapshot, text = policy()) {
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  const told = [makePlan(set, on), preflight(set, on)].map(({ diagnostics }) =>
    diagnostics.filter(({ severity }) => severity === "error").map(({ code }) => code)
  );
  assert.deepEqual(told[0], told[1]);
  assert.equal(makePlan(set, on).grants.length, told[0]?.length === 0 ? 1 : 0);
  return told[0];
}

Deno.test("nothing is exported from a device that no IOMMU confines", () => {
  const { iommuGroup: _, ...loose } = nvme(SSD);
  assert.deepEqual(errors(host()), []);
  assert.deepEqual(errors(host(undefined, { iommu: [] })), ["BG2207"]);
  assert.deepEqual(errors(host([loose])), ["BG2207"]);
  const { cdev: _cdev, ...byGroup } = nvme(SSD);
  const unsafe = { ...byGroup, groupNode: "/dev/vfio/noiommu-1" };
  assert.deepEqual(errors(host([unsafe])), ["BG2207"]);
  assert.deepEqual(errors(host([unsafe]), policy({ driver: "mlx5" })), ["BG2207"]);
  const borrowed = policy({ more: "    revocation: cooperative\n" }).replace(
    `{ match: { id: "1b36:0010" } }`,
    `{ match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: a.service } }`,
  );
  assert.deepEqual(errors(host([unsafe]), borrowed), ["BG2207"], "whoever has opened it");
});

Deno.test("what could not be read of the IOMMU is not taken for none", () => {
  const right = "CAP_DAC_READ_SEARCH";
  const unread = { iommu: [], unreadable: [{ field: "iommu", right }] };
  assert.deepEqual(errors(host(undefined, unread)), []);
  const { iommuGroup: _, ...loose } = nvme(SSD);
  const hidden = { ...loose, unreadable: [{ field: "iommuGroup", right }] };
  assert.deepEqual(errors(host([hidden])), []);
});
