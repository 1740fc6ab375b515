/**
 * What looks at a host of many functions looks at each of them a bounded number of times. Counted, not
 * timed; `tests/cmd/large_hosts.ts` measures whole verbs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { policyFor } from "../../cmd/init.ts";
import { inventoryTable } from "../../cmd/output/inventory_table.ts";
import { viewOf } from "../../cmd/view_inventory.ts";
import { makePlan } from "../../engine/plan.ts";
import { planJson } from "../../engine/plan_json.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { functionsOf } from "../../sim/snapshot_functions.ts";
import { type Count, counted } from "../support/counted_host.ts";
import { IMPOSSIBLE, type Shape, SOUND, writeLargeHost } from "../support/large_hosts.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const SIZES = [100, 400] as const;
/** Of four times as many functions; squares would be sixteen times as much. */
const MOST_GROWTH = 5;

const POLICY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: many }
devices:
  all: { match: { id: "8086:1234", driver: vfio-pci }, many: true }
importers:
  importer: { identity: { user: nobody }, driver: iommufd }
exports:
  - { name: page, device: all, bar: 0, slices: [{ offset: 0, length: 4KiB }], importers: [importer] }
`;

const { set } = loadPolicySet([{ file: "many.yaml", bytes: new TextEncoder().encode(POLICY) }]);

/** What each is asked of a host. */
const LOOKS: Readonly<Record<string, (host: HostSnapshot) => unknown>> = {
  "files of the simulation": (host) => readBack(host),
  "devices of the simulation": (host) => functionsOf(host),
  "a plan of all": (host) => planJson(makePlan(set ?? assert.fail(), host), () => []),
  "a first policy": (host) => policyFor(host, "a file", undefined),
  "a table": (host) => inventoryTable(host, () => true),
  "a matrix": (host) => viewOf(host, { device: undefined, matrix: true, asJson: false }),
};

function parsed(shape: Shape | undefined, count: number): ReturnType<typeof parseSnapshot> {
  const path = Deno.makeTempFileSync({ prefix: "bargate-test-" });
  try {
    writeLargeHost(path, shape?.(count) ?? []);
    return parseSnapshot(Deno.readFileSync(path));
  } finally {
    Deno.removeSync(path);
  }
}

function hostOf(shape: Shape | undefined, count: number): HostSnapshot {
  const { snapshot, problems } = parsed(shape, count);
  assert.deepEqual(problems, []);
  return snapshot ?? assert.fail();
}

function readBack(host: HostSnapshot): ReturnType<typeof readSnapshot> {
  const files = new SnapshotFiles(host, new MemoryFiles({}));
  return readSnapshot(files, { ...host.kernel, pageSize: host.pageSize });
}

for (const [name, shape] of Object.entries(SOUND)) {
  Deno.test(`what ${name} cost grows as their number does`, () => {
    const [few, many] = SIZES.map((size) => hostOf(shape, size));
    for (const [what, look] of Object.entries(LOOKS)) {
      const [before, after] = [few, many].map((host = assert.fail()) => {
        const count: Count = { looks: 0 };
        look(counted(host, count));
        return count.looks;
      });
      const growth = (after ?? 0) / (before ?? 0);
      assert.ok(growth < MOST_GROWTH, `${what}: ${before} and ${after} looks at functions`);
    }
  });
}

Deno.test("a simulated host of many functions tells all of itself", () => {
  for (const name of ["devices below one bridge", "devices deep below bridges"]) {
    const host = hostOf(SOUND[name], SIZES[1]);
    const { snapshot, skipped } = readBack(host);
    assert.deepEqual(skipped, []);
    assert.deepEqual(
      snapshot.functions.map(({ address, parent, driver }) => ({ address, parent, driver })),
      host.functions.map(({ address, parent, driver }) => ({ address, parent, driver })),
    );
  }
});

Deno.test("devices on one bus share the list of those that are reset with them", () => {
  const host = hostOf(SOUND["devices below one bridge"], SIZES[1]);
  const devices = functionsOf(host).filter(({ address }) => address.startsWith("1"));
  assert.equal(devices.length, SIZES[1]);
  assert.equal(new Set(devices.map(({ hotResetDomain }) => hotResetDomain)).size, 1);
});

Deno.test("a table of more rows than a call takes arguments is a table", () => {
  const [entry = assert.fail()] = hostOf(SOUND["plain functions"], 1).functions;
  const functions = new Array(150_000).fill({ ...entry, bars: [] });
  const host = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], functions };
  assert.ok(inventoryTable(host, () => true).length > functions.length);
});

for (const [name, shape] of Object.entries(IMPOSSIBLE)) {
  Deno.test(`${name} are refused, and it is said where`, () => {
    const { snapshot, problems } = parsed(shape, SIZES[1]);
    assert.equal(snapshot, undefined);
    assert.match(problems[0]?.pointer ?? "", /^\/functions\/\d+/);
    assert.ok(problems.length < SIZES[1], `${problems.length} problems are told`);
  });
}
