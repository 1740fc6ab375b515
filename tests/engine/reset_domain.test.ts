import assert from "node:assert/strict";
import { hitTogether, isHitWith, neighboursIn } from "../../engine/reset_domain.ts";
import { makePlan } from "../../engine/plan.ts";
import { ResetDomains } from "../../engine/plan_domain.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy } from "./planning.ts";

const place = (address: string, above: readonly string[], physfn?: string) => ({
  address,
  above,
  slots: [],
  ...(physfn === undefined ? {} : { physfn }),
});
const SWITCH = "0000:00:01.0";
const PF = place("0000:03:00.0", ["0000:02:00.0", SWITCH]);
const VF = place("0000:03:00.1", ["0000:02:00.0", SWITCH], PF.address);
const SIBLING_VF = place("0000:03:00.2", ["0000:02:00.0", SWITCH], PF.address);
const COUSIN = place("0000:05:00.0", ["0000:02:01.0", SWITCH]);
const STRANGER = place("0000:00:14.0", []);

Deno.test("hitTogether finds a physical function, its virtual ones, and what shares a bridge", () => {
  const all = [PF, VF, VF, SIBLING_VF, COUSIN, STRANGER];
  assert.deepEqual(hitTogether(VF, all), [
    { address: PF.address, through: PF.address },
    { address: SIBLING_VF.address, through: PF.address },
    { address: COUSIN.address, through: SWITCH },
  ]);
  assert.deepEqual(hitTogether(PF, all).map(({ through }) => through), [
    PF.address,
    PF.address,
    SWITCH,
  ]);
  assert.deepEqual(hitTogether(STRANGER, all), []);
});

Deno.test("isHitWith finds a function, and a virtual one by its physical one", () => {
  assert.ok(isHitWith(VF, [STRANGER.address, PF.address]));
  assert.ok(isHitWith(VF, [VF.address]));
  assert.ok(!isHitWith(PF, [VF.address]));
  assert.ok(!isHitWith(VF, []));
});

function entry(
  address: string,
  parent: string,
  more: Partial<SnapshotFunction> = {},
): SnapshotFunction {
  return {
    address,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    parent,
    resetMethods: [],
    config: new Uint8Array(64),
    bars: [],
    unreadable: [],
    ...more,
  };
}

Deno.test("neighboursIn has the bus and the physical function, and nothing of a root bus", () => {
  const functions = [
    entry("0000:00:10.0", "pci0000:00"),
    entry("0000:00:14.0", "pci0000:00"),
    entry("0000:01:00.0", "0000:00:10.0"),
    entry("0000:01:00.1", "0000:00:10.0", { driver: "nvme" }),
    entry("0000:02:00.0", "0000:00:10.0", { physfn: "0000:01:00.0", driver: "vfio-pci" }),
    entry("0000:03:00.0", "0000:01:00.1"),
  ];
  const host = { kernel: { release: "7.3.0" }, pageSize: 4096, iommu: [], functions };
  const of = (address: string) => {
    const found = functions.find((each) => each.address === address);
    assert.ok(found !== undefined);
    return neighboursIn(host)(found).map(({ address, through, driver }) => [
      address,
      through,
      driver,
    ]);
  };
  assert.deepEqual(of("0000:01:00.0"), [
    ["0000:01:00.1", "0000:00:10.0", "nvme"],
    ["0000:02:00.0", "0000:01:00.0", "vfio-pci"],
    ["0000:03:00.0", "0000:00:10.0", undefined],
  ]);
  assert.deepEqual(of("0000:00:14.0"), []);
});

Deno.test("a plan tells all its grants that a bridge above takes along, and of others those near", () => {
  const bridge = (address: string, parent: string) =>
    entry(address, parent, { class: "060400", driver: "pcieport" });
  const [ROOT, ONE, TWO, THREE] = ["0000:00:10.0", "0000:02:00.0", "0000:02:01.0", "0000:02:02.0"];
  const ssd = (address: string, parent: string, group: number) =>
    nvme(address, { parent, iommuGroup: group, cdev: `/dev/vfio/devices/vfio${group}` });
  const on = host([
    bridge(ROOT, "pci0000:00"),
    ...[ONE, TWO, THREE].map((address) => bridge(address, ROOT)),
    ssd("0000:03:00.0", ONE, 3),
    entry("0000:03:00.1", ONE, { device: "0011", driver: "nvme" }),
    ssd("0000:04:00.0", TWO, 4),
    entry("0000:05:00.0", THREE, { device: "0011", driver: "nvme" }),
  ]);
  const text = policy({ match: `{ id: "1b36:0010", class: "0108" }, many: true` });
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  const plan = makePlan(set, on);
  const [grant] = plan.grants;
  assert.ok(grant !== undefined, JSON.stringify(plan.diagnostics));
  const domain = new ResetDomains(plan).of(grant);
  assert.deepEqual(
    domain.map(({ address, through, grants }) => [address, through, grants.length]),
    [
      ["0000:03:00.1", ONE, 0],
      ["0000:04:00.0", ROOT, 1],
    ],
  );
});
