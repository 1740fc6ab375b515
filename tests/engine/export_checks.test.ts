/** The kernel's checks run again on a snapshot: the same answers in the same order as a kernel's. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decidingCheck, exportChecks } from "../../engine/export_checks.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";
import { SimVfioDevice } from "../../sim/vfio.ts";
import { SSD } from "./support.ts";
import { runs } from "../support/runs.ts";

/** Where the simulation has every BAR. */
const START = 0xc000_0000n;

function fn(
  bars: readonly SnapshotBar[],
  more: Partial<SnapshotFunction> = {},
): SnapshotFunction {
  return {
    address: SSD,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    parent: "pci0000:00",
    resetMethods: [],
    config: new Uint8Array(256),
    bars,
    unreadable: [],
    ...more,
  };
}

function host(entry: SnapshotFunction, more: Partial<HostSnapshot> = {}): HostSnapshot {
  return { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], functions: [entry], ...more };
}

const anyBars = fc.tuple(...[0, 2, 4].map((index) =>
  fc.record({
    index: fc.constant(index),
    kind: fc.constantFrom("memory64" as const, "memory32" as const, "io" as const, undefined),
    size: fc.constantFrom(256n, 4096n, 0x4000n, 0x100_0000n),
  })
)).map((list) =>
  list.flatMap(({ kind, ...bar }): SnapshotBar[] =>
    kind === undefined ? [] : [{ ...bar, kind, start: START, prefetchable: false }]
  )
);

const anyNumber = fc.oneof(
  fc.bigInt(0n, 8n).map((pages) => pages * 4096n),
  fc.bigInt(0n, 0x5000n),
  fc.constantFrom((1n << 63n) - 4096n, 1n << 63n, (1n << 64n) - 4096n, (1n << 64n) - START - 4096n),
);
const anyRanges = fc.array(fc.record({ offset: anyNumber, length: anyNumber }), { maxLength: 3 });

function simulated(bars: readonly SnapshotBar[]): SimVfioDevice {
  const of = (io: boolean) =>
    new Map(bars.filter(({ kind }) => (kind === "io") === io).map((b) => [b.index, b.size]));
  return new SimVfioDevice({
    address: SSD,
    node: "/dev/vfio/devices/vfio0",
    config: new Uint8Array(256),
    bars: of(false),
    ports: of(true),
    resettable: true,
    virtual: false,
  });
}

Deno.test("the check that decides answers what the simulated kernel answers", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(anyBars, fc.constantFrom(0, 1, 2, 4, 5, 6, 7), anyRanges, (bars, bar, ranges) => {
      let answered = "success";
      try {
        simulated(bars).export(bar, ranges, 4096n);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        answered = error.errnoName;
      }
      seen.add(answered);
      const entry = fn(bars);
      const deciding = decidingCheck(exportChecks(host(entry), entry, { bar, ranges }));
      assert.equal(deciding?.errno ?? "success", answered, deciding?.what);
    }),
    { numRuns: runs(5000) },
  );
  assert.deepEqual([...seen].sort(), ["EINVAL", "ENODEV", "EOVERFLOW", "success"]);
});

const MEMORY: readonly SnapshotBar[] = [
  { index: 2, kind: "memory64", start: START, size: 0x4000n, prefetchable: true },
];
const PAGE = { bar: 2, ranges: [{ offset: 0n, length: 4096n }] };

function decided(entry: SnapshotFunction, more: Partial<HostSnapshot> = {}) {
  return decidingCheck(exportChecks(host(entry, more), entry, PAGE))?.errno;
}

Deno.test("kernel and driver are checked before anything of the BAR", () => {
  assert.equal(decided(fn(MEMORY)), undefined);
  assert.equal(decided(fn([])), "ENODEV");
  assert.equal(decided(fn([], { driver: "nvme" })), "ENOENT", "there is no node");
  assert.equal(decided(fn([], { driver: "mlx5_vfio_pci" })), "EOPNOTSUPP");
  assert.equal(decided(fn([], { driver: "qat_vfio_pci" })), "ENOTTY");
  const config = (value: "y" | "n") => ({
    kernel: { release: "7.3.4", config: { CONFIG_VFIO_PCI_DMABUF: value } },
  });
  assert.equal(decided(fn([]), config("n")), "ENOTTY");
  assert.equal(decided(fn([]), config("y")), "ENODEV");
});

Deno.test("what only the running host can tell is not taken for granted", () => {
  const entry = fn(MEMORY);
  const checks = exportChecks(host(entry), entry, PAGE);
  const unknown = checks.filter(({ holds }) => holds === "unknown");
  assert.deepEqual(unknown.map(({ errno }) => errno), [
    "EPERM",
    "EINVAL",
    "EIO",
    "ENOTTY",
    "ENODEV",
    "ENODEV",
    "EMFILE",
    undefined,
  ]);
});

Deno.test("a device that the kernel resumes no more answers EIO before anything else is looked at", () => {
  const asked = { bar: 2, ranges: [] };
  for (const [runtimeStatus, errno] of [["error", "EIO"], ["suspended", "EINVAL"]] as const) {
    const entry = fn([], { cdev: "/dev/vfio/devices/vfio0", runtimeStatus });
    const deciding = decidingCheck(exportChecks(host(entry), entry, asked));
    assert.equal(deciding?.errno, errno, deciding?.why);
  }
});

Deno.test("a group that another driver holds is told where the kernel asks for it", () => {
  const own = fn([], { iommuGroup: 3 });
  const other = fn([], { address: "0000:04:00.0", driver: "mlx5_core", iommuGroup: 3 });
  const asked = { bar: 2, ranges: [{ offset: 0n, length: 4096n }] };
  const checked = (functions: readonly SnapshotFunction[]) =>
    exportChecks(host(own, { functions }), own, asked).find(({ errno }) => errno === "EPERM");
  assert.deepEqual(checked([own, other]), {
    what: "VFIO can own the function's IOMMU group",
    errno: "EPERM",
    holds: false,
    why: "other drivers hold 0000:04:00.0 (mlx5_core) in group 3",
  });
  assert.equal(checked([own, { ...other, driver: "vfio-pci" }])?.holds, true);
  const { driver: _, ...unread } = other;
  const unsure = { ...unread, unreadable: [{ field: "driver", right: "root" }] };
  assert.equal(checked([own, unsure])?.holds, "unknown");
  const many = Array.from({ length: 6 }, (_, at) => ({ ...other, address: `0000:05:00.${at}` }));
  assert.match(checked([own, ...many])?.why ?? "", /05:00\.3 \(mlx5_core\) and 2 more in group 3$/);
  const decides = decidingCheck(exportChecks(host(own, { functions: [own, other] }), own, asked));
  assert.equal(decides?.errno, "EPERM");
});
