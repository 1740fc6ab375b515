/** What differs between two snapshots. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { diffSnapshots } from "../../host/diff_snapshots.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { snapshots } from "./random_snapshots.ts";

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
    { ...at, field: "bars.2.flags", old: "prefetchable" },
    { ...at, field: "iommuGroup", new: 7 },
    { ...at, field: "unreadable.powerState.right", new: "CAP_DAC_READ_SEARCH" },
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
