import assert from "node:assert/strict";
import fc from "fast-check";
import { makePlan, type Plan, type PlannedGrant } from "../../engine/plan.ts";
import { type DomainFunction, ResetDomains } from "../../engine/plan_domain.ts";
import { resetThrough } from "../../engine/reset_domain.ts";
import { comparePciAddresses } from "../../host/address.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy } from "./planning.ts";

const BRIDGES = 4;

/** Where a function is: below which bridge (0: a root bus), bound to what, virtual of the one before. */
const place = fc.record({
  bridge: fc.nat(BRIDGES),
  planned: fc.boolean(),
  virtual: fc.boolean(),
});

/** Each bridge below one that is nearer to the root, or on the root bus. */
const above = fc.tuple(...Array.from({ length: BRIDGES }, (_, at) => fc.nat(at)));

function bridgeAt(number: number): string {
  return number === 0 ? "pci0000:00" : `0000:0${number}:00.0`;
}

function functionsFor(
  parents: readonly number[],
  places: readonly { bridge: number; planned: boolean; virtual: boolean }[],
): readonly SnapshotFunction[] {
  const bridges = parents.map((parent, index) =>
    nvme(bridgeAt(index + 1), { parent: bridgeAt(parent), class: "060400", driver: "pcieport" })
  );
  const functions: SnapshotFunction[] = [];
  for (const [index, { bridge, planned, virtual }] of places.entries()) {
    const before = functions.at(-1);
    const physfn = virtual ? before?.physfn ?? before?.address : undefined;
    const entry = nvme(`0000:${10 + index}:00.0`, {
      parent: physfn === undefined ? bridgeAt(bridge) : before?.parent ?? assert.fail(),
      driver: planned ? "vfio-pci" : "nvme",
      iommuGroup: index,
      ...(physfn === undefined ? {} : { physfn }),
      ...(planned ? { cdev: `/dev/vfio/devices/vfio${index}` } : {}),
    });
    functions.push(entry);
  }
  return [...bridges, ...functions];
}

/** The same by looking at each function for each grant. */
function expected(plan: Plan, on: readonly SnapshotFunction[], grant: PlannedGrant) {
  const { device } = grant;
  const above = new Set(device.above);
  const chainOf = (entry: SnapshotFunction): string[] => {
    const bridge = on.find(({ address }) => address === entry.parent);
    return bridge === undefined ? [] : [bridge.address, ...chainOf(bridge)];
  };
  return on.toSorted((a, b) => comparePciAddresses(a.address, b.address)).flatMap((entry) => {
    const { address, driver } = entry;
    const grants = plan.grants.filter((other) => {
      return other !== grant && other.device.address === address;
    });
    const isOwn = address === device.address;
    const isPlanned = plan.grants.some((other) => other.device.address === address);
    const own = resetThrough(device, above, { ...entry, above: chainOf(entry) });
    const isNear = own !== undefined && own === (device.physfn ?? device.address) ||
      own !== undefined && own === device.above[0];
    if (own === undefined || !(isPlanned || isNear)) return [];
    if (isOwn && grants.length === 0) return [];
    const bound = isPlanned || driver === undefined ? {} : { driver };
    return [{ address, through: isOwn ? address : own, ...bound, grants }];
  });
}

function grantsOf(functions: readonly DomainFunction[]): number {
  return functions.reduce((sum, { grants }) => sum + grants.length, 0);
}

Deno.test("ResetDomains tells what looking at each function for each grant tells", () => {
  const rule = "device: ssd, bar: 2, importers: [engine], collateral: device";
  const text = policy({
    match: `{ id: "1b36:0010", driver: vfio-pci }, many: true`,
    more: "    collateral: device\n",
    tail: `  - { name: second, slices: [{ offset: 64KiB, length: 4KiB }], ${rule} }\n`,
  });
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  fc.assert(fc.property(
    above,
    fc.array(place, { minLength: 1, maxLength: 8 }),
    fc.integer({ min: 1, max: 6 }),
    (parents, places, limit) => {
      const on = functionsFor(parents, places);
      const plan = makePlan(set, host([...on]));
      const domains = new ResetDomains(plan);
      for (const grant of plan.grants) {
        const whole = expected(plan, on, grant);
        assert.deepEqual(domains.of(grant), whole);
        const { functions, omitted = { functions: 0, grants: 0 } } = domains.toldOf(grant, limit);
        assert.deepEqual(
          functions.map(({ address }) => address),
          whole.slice(0, functions.length).map(({ address }) => address),
        );
        assert.equal(functions.length + omitted.functions, whole.length);
        assert.equal(grantsOf(functions) + omitted.grants, grantsOf(whole));
      }
    },
  ));
});
