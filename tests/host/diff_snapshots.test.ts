/** What differs between two snapshots. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { diffSnapshots } from "../../host/diff_snapshots.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import { snapshots } from "./random_snapshots.ts";
import { runs } from "../support/runs.ts";

const ENTRY: SnapshotFunction = {
  address: "0000:01:00.0",
  vendor: "1b36",
  device: "0010",
  class: "010802",
  driver: "nvme",
  parent: "pci0000:00",
  resetMethods: ["flr", "bus"],
  config: new Uint8Array(256),
  bars: [{ index: 2, kind: "memory64", start: 4096n, size: 4096n, prefetchable: true }],
  unreadable: [],
};
const HOST: HostSnapshot = {
  kernel: { release: "7.3.4", config: { CONFIG_VFIO: "m" } },
  pageSize: 4096,
  iommu: ["dmar0"],
  functions: [ENTRY],
  nvme: [{ name: "nvme0", function: ENTRY.address }],
};

Deno.test("each field that differs is told, with both values as the files have them", () => {
  const config = ENTRY.config.slice();
  config.set([0x06, 0x04], 4);
  config[0xff] = 1;
  const { driver: _driver, ...bound } = ENTRY;
  const now: HostSnapshot = {
    ...HOST,
    kernel: { release: "7.3.5", config: { CONFIG_VFIO: "y" } },
    functions: [
      {
        ...bound,
        iommuGroup: 7,
        resetMethods: ["bus"],
        config,
        bars: [{ index: 2, kind: "memory64", start: 4096n, size: 8192n, prefetchable: false }],
        unreadable: [{ field: "powerState", right: "CAP_DAC_READ_SEARCH" }],
      },
      { ...ENTRY, address: "0000:02:00.0" },
    ],
    nvme: [],
  };
  const at = { function: ENTRY.address };
  assert.deepEqual(diffSnapshots(HOST, now), [
    { field: "kernel.release", old: "7.3.4", new: "7.3.5" },
    { field: "kernel.config.CONFIG_VFIO", old: "m", new: "y" },
    { field: "nvme.nvme0", old: ENTRY.address },
    { ...at, field: "driver", old: "nvme" },
    { ...at, field: "resetMethods", old: "flr bus", new: "bus" },
    { ...at, field: "bars.2.size", old: "0x1000", new: "0x2000" },
    { ...at, field: "bars.2.flags", old: "prefetchable", new: "[]" },
    { ...at, field: "unreadable.powerState.right", new: "CAP_DAC_READ_SEARCH" },
    { ...at, field: "iommuGroup", new: 7 },
    { ...at, field: "config.0x004", old: "0000", new: "0604" },
    { ...at, field: "config.0x0ff", old: "00", new: "01" },
    { function: "0000:02:00.0", new: "1b36:0010" },
  ]);
});

Deno.test("configuration space of another length differs from where the shorter one ends", () => {
  const now = { ...HOST, functions: [{ ...ENTRY, config: ENTRY.config.subarray(0, 64) }] };
  const differences = diffSnapshots(HOST, now);
  assert.deepEqual(differences, [
    { function: ENTRY.address, field: "config.0x040", old: "00".repeat(192) },
  ]);
});

Deno.test("a snapshot is as itself, and a difference is one both ways", () => {
  fc.assert(fc.property(snapshots, snapshots, (one, other) => {
    assert.deepEqual(diffSnapshots(one, one), []);
    const there = diffSnapshots(one, other);
    const back = diffSnapshots(other, one);
    const key = ({ function: address, field }: typeof there[number]) => `${address} ${field}`;
    assert.deepEqual(there.map(key).sort(), back.map(key).sort());
    for (const { old, new: now } of there) assert.notEqual(old, now);
  }));
});

Deno.test("what is not there, what is empty and what is in another order are not the same", () => {
  const on = (more: Partial<SnapshotFunction>) => ({ ...HOST, functions: [{ ...ENTRY, ...more }] });
  const lack = (...rights: string[]) =>
    on({ unreadable: rights.map((right) => ({ field: "a", right })) });
  const { nvme: _nvme, ...bare } = HOST;
  const pairs: readonly (readonly [HostSnapshot, HostSnapshot, readonly string[]])[] = [
    [HOST, { ...HOST, cpu: {} }, ["cpu"]],
    [bare, { ...bare, rdma: [], drm: [], nvme: [] }, ["rdma", "drm", "nvme"]],
    [
      { ...HOST, kernel: { release: "7.3.4" } },
      { ...HOST, kernel: { release: "7.3.4", config: {} } },
      ["kernel.config"],
    ],
    [{ ...HOST, iommu: ["a b"] }, { ...HOST, iommu: ["a", "b"] }, ["iommu"]],
    [{ ...HOST, leftOut: [] }, { ...HOST, leftOut: [{ address: "0000:03:00.0" }] }, [
      "leftOut.0000:03:00.0",
    ]],
    [HOST, on({ openBy: [] }), ["openBy"]],
    [on({ openBy: [] }), on({ openBy: [{ pid: 7 }] }), ["openBy.7"]],
    [on({ openBy: [{ pid: 8 }] }), on({ openBy: [{ pid: 7 }] }), ["openBy.8", "openBy.7"]],
    [on({ openBy: [{ pid: 7 }] }), on({ openBy: [{ pid: 7, command: "x" }] }), [
      "openBy.7.command",
    ]],
    [on({}), on({ resetMethods: ["flr bus"] }), ["resetMethods"]],
    [lack("X", "Y"), lack("Y"), ["unreadable.a.right", "unreadable.a#2.right"]],
    [lack("X", "Y"), lack("X"), ["unreadable.a#2.right"]],
  ];
  for (const [one, other, fields] of pairs) {
    assert.deepEqual(diffSnapshots(one, other).map(({ field }) => field), fields);
    assert.deepEqual(diffSnapshots(other, one).map(({ field }) => field).sort(), fields.toSorted());
  }
});

/** Small changes of a file that may leave it sound. */
const CHANGES: readonly ((value: unknown) => unknown)[] = [
  () => undefined,
  () => [],
  () => ({}),
  (value) => Array.isArray(value) ? value.toReversed() : value,
  (value) => Array.isArray(value) ? [...value, ...value.slice(0, 1)] : value,
  (value) => Array.isArray(value) ? value.slice(1) : value,
  (value) => typeof value === "string" ? value.replaceAll(" ", "_") : value,
  (value) => typeof value === "number" ? value ^ 1 : value,
  (value) =>
    Array.isArray(value) ? value.flatMap((v) => typeof v === "string" ? v.split(" ") : v) : value,
];

function changed(value: unknown, way: number, change: (value: unknown) => unknown): unknown {
  if (way === 0 || typeof value !== "object" || value === null) return change(value);
  const keys = Object.keys(value);
  const key = keys[way % Math.max(keys.length, 1)];
  if (key === undefined) return change(value);
  const below = changed((value as Record<string, unknown>)[key], way >> 3, change);
  if (Array.isArray(value)) return value.with(Number(key), below);
  return { ...value, [key]: below };
}

Deno.test("there is no difference exactly if the files are the same byte for byte", () => {
  const print = ({ description: _, ...host }: HostSnapshot) => [...printSnapshot(host)].join("");
  let sound = 0;
  fc.assert(
    fc.property(snapshots, fc.nat(), fc.constantFrom(...CHANGES), (snapshot, way, change) => {
      const before = JSON.parse(print(snapshot));
      const text = JSON.stringify(changed(before, way, change)) ?? "";
      const { snapshot: now } = parseSnapshot(new TextEncoder().encode(text));
      if (now === undefined) return;
      const same = print(snapshot) === print(now);
      if (!same) sound++;
      assert.equal(diffSnapshots(snapshot, now).length === 0, same, text);
    }),
    { numRuns: runs(2000) },
  );
  assert.ok(sound > 20, `${sound} changed files were sound`);
});
