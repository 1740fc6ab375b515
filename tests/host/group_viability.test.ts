/** Which drivers keep VFIO from owning an IOMMU group. */
import assert from "node:assert/strict";
import { IommuGroups, isVfioDriver, isViable } from "../../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { functionOf, hostOf, type Spec } from "./topology/support.ts";

const SSD: Spec = { address: "0000:03:00.0", parent: "pci0000:00", driver: "vfio-pci", group: 7 };

function judged(...others: Partial<Spec>[]) {
  const specs = others.map((other, index): Spec => {
    return { ...SSD, address: `0000:04:00.${index}`, ...other };
  });
  const host = hostOf([SSD, ...specs]);
  const [entry = functionOf(SSD)] = host.functions;
  const found = new IommuGroups(host).viability(entry);
  const names = (list: readonly { readonly address: string }[] = []) =>
    list.map(({ address }) => address);
  return [found?.group, names(found?.spoilers())];
}

Deno.test("a function alone in its group can be owned", () => {
  assert.deepEqual(judged(), [7, []]);
  assert.deepEqual(judged({ group: 8, driver: "nvme" }), [7, []]);
});

Deno.test("bridges, stubs and functions without a driver do not hold a group", () => {
  const none = { address: "0000:05:00.0", parent: "pci0000:00", group: 7 };
  const host = hostOf([SSD, none]);
  const [entry = functionOf(SSD)] = host.functions;
  assert.deepEqual(new IommuGroups(host).viability(entry)?.spoilers(), []);
  assert.deepEqual(judged({ driver: "pcieport" }, { driver: "pci-stub" }), [7, []]);
});

Deno.test("native drivers do, each of them", () => {
  const natives = ["mlx5_core", "nvme", "shpchp", "vfio-pci-not", "my vfio-pci"];
  const spoilers = judged(...natives.map((driver) => ({ driver })))[1];
  assert.equal(Array.isArray(spoilers) && spoilers.length, natives.length);
});

Deno.test("variants of vfio-pci are VFIO's, and do not hold a group", () => {
  for (const driver of ["vfio-pci", "mlx5_vfio_pci", "nvgrace_gpu_vfio_pci", "xe-vfio-pci"]) {
    assert.ok(isVfioDriver(driver), driver);
    assert.deepEqual(judged({ driver }), [7, []]);
  }
});

Deno.test("a function without a group has none to judge", () => {
  const { group: _group, ...bare } = SSD;
  const host = hostOf([bare]);
  assert.equal(new IommuGroups(host).viability(functionOf(bare)), undefined);
});

Deno.test("who holds a group is listed once for all of it, and nobody spoils his own", () => {
  const driver = "nvme";
  const natives = [0, 1, 2].map((at) => ({ ...SSD, address: `0000:04:00.${at}`, driver }));
  const { functions, ...rest } = hostOf([SSD, ...natives]);
  const groups = new IommuGroups({ ...rest, functions });
  const [own, ...others] = functions.map((entry) => groups.viability(entry));
  assert.ok(own !== undefined);
  for (const other of others) assert.equal(other?.holders, own.holders);
  assert.deepEqual([own.spoilerCount, ...others.map((each) => each?.spoilerCount)], [3, 2, 2, 2]);
  const names = own.spoilers().map(({ address }) => address);
  assert.deepEqual(names, natives.map(({ address }) => address));
  for (const [at, other] of others.entries()) {
    const rest = names.filter((_, index) => index !== at);
    assert.deepEqual(other?.spoilers().map(({ address }) => address), rest);
    assert.deepEqual(other?.spoilers(1).map(({ address }) => address), rest.slice(0, 1));
  }
});

Deno.test("what could not be read of a group, of a driver, or of which group it is may hold it", () => {
  const unread = (entry: SnapshotFunction, field: "driver" | "iommuGroup") => {
    const { [field]: _, ...rest } = entry;
    return { ...rest, unreadable: [{ field, right: "CAP_DAC_READ_SEARCH" }] };
  };
  const other = functionOf({ ...SSD, address: "0000:04:00.0", driver: "nvme" });
  const ssd = functionOf(SSD);
  const judgedWith = (...functions: readonly SnapshotFunction[]) => {
    const [entry = ssd] = functions;
    const found = new IommuGroups({ ...hostOf([]), functions }).viability(entry);
    return found && [found.group, isViable(found), found.unknown];
  };
  assert.deepEqual(judgedWith(ssd, unread(other, "driver")), [7, undefined, ["0000:04:00.0"]]);
  assert.deepEqual(judgedWith(ssd, unread(other, "iommuGroup")), [7, undefined, ["0000:04:00.0"]]);
  const harmless = { ...unread(other, "iommuGroup"), driver: "vfio-pci" };
  assert.deepEqual(judgedWith(ssd, harmless), [7, true, []]);
  assert.deepEqual(
    judgedWith(ssd, other, unread({ ...other, address: "0000:05:00.0" }, "driver")),
    [
      7,
      false,
      ["0000:05:00.0"],
    ],
  );
  assert.deepEqual(judgedWith(unread(ssd, "iommuGroup")), [undefined, undefined, [SSD.address]]);
  assert.deepEqual(judgedWith(unread(ssd, "driver")), [7, true, []], "of itself it is told apart");
});

Deno.test("a function that was left out may be in any group, unless it is known to be in none", () => {
  const [gone, bare, member] = ["0000:09:00.0", "0000:0a:00.0", "0000:0b:00.0"] as const;
  const judgedWithout = (...leftOut: NonNullable<HostSnapshot["leftOut"]>) => {
    const found = new IommuGroups({ ...hostOf([SSD]), leftOut }).viability(functionOf(SSD));
    return found && [isViable(found), found.unknown];
  };
  assert.deepEqual(judgedWithout(), [true, []]);
  assert.deepEqual(judgedWithout({ address: gone }), [undefined, [gone]]);
  assert.deepEqual(judgedWithout({ address: bare, iommuGroupIs: "none" }), [true, []]);
  assert.deepEqual(judgedWithout({ address: member, iommuGroup: 8 }), [true, []]);
  const all = [{ address: gone }, { address: member, iommuGroup: 7 }];
  assert.deepEqual(judgedWithout(...all), [undefined, [member, gone]]);
});
