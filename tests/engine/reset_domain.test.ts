import assert from "node:assert/strict";
import { domainsIn, isHitWith, resetThrough } from "../../engine/reset_domain.ts";
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

Deno.test("resetThrough finds the physical function, else the nearest bridge above both", () => {
  const through = (place: typeof PF, other: typeof PF) =>
    resetThrough(place, new Set(place.above), other);
  assert.deepEqual([PF, VF, SIBLING_VF, COUSIN, STRANGER].map((other) => through(VF, other)), [
    PF.address,
    PF.address,
    PF.address,
    SWITCH,
    undefined,
  ]);
  assert.deepEqual([VF, SIBLING_VF, COUSIN].map((other) => through(PF, other)), [
    PF.address,
    PF.address,
    SWITCH,
  ]);
  assert.equal(through(STRANGER, PF), undefined);
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

Deno.test("domainsIn has the bus with all below, and of a root bus the physical function's", () => {
  const functions = [
    entry("0000:03:00.0", "0000:01:00.1"),
    entry("0000:00:10.0", "pci0000:00"),
    entry("0000:00:14.0", "pci0000:00"),
    entry("0000:00:14.1", "pci0000:00", { physfn: "0000:00:14.0" }),
    entry("0000:01:00.0", "0000:00:10.0"),
    entry("0000:01:00.1", "0000:00:10.0", { driver: "nvme" }),
    entry("0000:02:00.0", "0000:00:10.0", { physfn: "0000:01:00.0", driver: "vfio-pci" }),
  ];
  const domainOf = domainsIn({
    kernel: { release: "7.3.0" },
    pageSize: 4096,
    iommu: [],
    functions,
  });
  const of = (address: string) =>
    domainOf(functions.find((each) => each.address === address) ?? assert.fail())
      .map(({ address }) => address);
  const bus = ["0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:03:00.0"];
  assert.deepEqual(of("0000:01:00.0"), bus);
  assert.deepEqual(of("0000:02:00.0"), bus);
  assert.deepEqual(of("0000:03:00.0"), ["0000:03:00.0"]);
  assert.deepEqual(of("0000:00:14.0"), ["0000:00:14.0", "0000:00:14.1"]);
  assert.deepEqual(of("0000:00:10.0"), ["0000:00:10.0"]);
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
