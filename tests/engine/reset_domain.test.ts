import assert from "node:assert/strict";
import { hitTogether, isHitWith, neighboursIn } from "../../engine/reset_domain.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";

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
