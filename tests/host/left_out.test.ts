/** What a snapshot says of functions that could not be read, and what is not concluded without them. */
import assert from "node:assert/strict";
import { factsOf } from "../../cmd/prepare_plan.ts";
import { FunctionIndex } from "../../engine/resolve.ts";
import { topologyFindings } from "../../engine/topology_findings.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import "../../ffi/preload.ts";
import { IommuGroups, isViable } from "../../host/group_viability.ts";
import { NO_RIGHT } from "../../host/snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import { judgePath } from "../../host/topology/judge.ts";
import { PciTree } from "../../host/topology/tree.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { type Content, functionTree, type Tree, writeTree } from "../support/sysfs_tree.ts";

const BUS = "pci0000:00";
const KERNEL = { release: "7.3.4", pageSize: 4096 };
const SSD = "0000:00:04.0";
const OTHER = "0000:00:05.0";
const NIC = "0000:00:06.0";

const SOUND: Tree = {
  ...functionTree({
    address: SSD,
    below: BUS,
    id: [0x144d, 0xa80a],
    class: "010802",
    driver: "vfio-pci",
    group: 1,
  }),
  ...functionTree({ address: OTHER, below: BUS, id: [0x144d, 0xa80a], class: "010802", group: 2 }),
  ...functionTree({
    address: NIC,
    below: BUS,
    id: [0x15b3, 0x101d],
    class: "020000",
    driver: "mlx5_core",
    group: 1,
  }),
};
const MEMBERS: Tree = {
  ...Object.fromEntries([SSD, NIC].map((address) => [
    `/sys/kernel/iommu_groups/1/devices/${address}`,
    { link: `../../../../devices/${BUS}/${address}` },
  ])),
};

async function taken(
  more: Readonly<Record<string, Content>>,
  wanted?: (address: string) => boolean,
) {
  const root = await Deno.makeTempDir({ prefix: "bargate-left-out-" });
  try {
    const { ["/sys/kernel/iommu_groups/1"]: folder, ...rest } = { ...SOUND, ...more };
    const listed = Object.keys(more).some((path) => path.includes("iommu_groups/1/devices"));
    writeTree(root, {
      ...rest,
      ...(listed ? {} : { "/sys/kernel/iommu_groups/1": folder ?? "folder" }),
    });
    return readSnapshot(new LinuxFiles(root), KERNEL, wanted);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function viable({ snapshot }: Awaited<ReturnType<typeof taken>>): boolean | undefined {
  const entry = snapshot.functions.find(({ address }) => address === SSD);
  const found = entry && new IommuGroups(snapshot).viability(entry);
  assert.ok(found !== undefined);
  return isViable(found);
}

Deno.test("a group with a function that could not be read is not known to be viable", async () => {
  assert.equal(viable(await taken({})), false);
  const spoilt = await taken({ [`/sys/devices/${BUS}/${NIC}/resource`]: "garbage\n" });
  assert.deepEqual(spoilt.snapshot.leftOut, [{ address: NIC, iommuGroup: 1 }]);
  assert.equal(viable(spoilt), undefined);
  const grant = {
    rule: { at: AT, device: { value: "ssd", at: AT }, importers: [{ value: "t", at: AT }] },
    importer: { name: "t", driver: { value: "iommufd", at: AT } },
    importerName: "p/t",
    device: { address: SSD },
  };
  const [finding] = topologyFindings(spoilt.snapshot, [grant]);
  assert.deepEqual([finding?.diagnostic.code, finding?.diagnostic.severity], ["BG2206", "warning"]);
  assert.match(
    finding?.diagnostic.message ?? "",
    /0000:00:06\.0 could not be read whole, and may hold it/,
  );
});

const AT = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };

Deno.test("nor is one whose members do not name it themselves", async () => {
  const lost = await taken({
    ...MEMBERS,
    [`/sys/devices/${BUS}/${NIC}/iommu_group`]: { link: "../../nonsense" },
  });
  assert.deepEqual(lost.skipped, []);
  assert.deepEqual(lost.snapshot.leftOut, [{ address: NIC, iommuGroup: 1 }]);
  assert.equal(viable(lost), undefined);
  assert.equal(viable(await taken(MEMBERS)), false);
});

Deno.test("nor is one that a function came into while the others were read", async () => {
  const root = await Deno.makeTempDir({ prefix: "bargate-left-out-" });
  class Hotplug extends LinuxFiles {
    #lists = 0;
    override list(path: string): string[] {
      const names = super.list(path);
      const isLate = path === "/sys/bus/pci/devices" && this.#lists++ === 0;
      return isLate ? names.filter((name) => name !== NIC) : names;
    }
  }
  try {
    const { ["/sys/kernel/iommu_groups/1"]: _, ...tree } = { ...SOUND, ...MEMBERS };
    writeTree(root, tree);
    const late = readSnapshot(new Hotplug(root), KERNEL);
    assert.deepEqual(late.snapshot.functions.map(({ address }) => address), [SSD, OTHER]);
    assert.deepEqual(late.snapshot.leftOut, [{ address: NIC, iommuGroup: 1 }]);
    assert.equal(viable(late), undefined);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("a wanted function that cannot be read does not keep the others' groups from being read", async () => {
  const wanted = (address: string) => address === SSD || address === OTHER;
  const sound = await taken(MEMBERS, wanted);
  assert.deepEqual(sound.snapshot.functions.map(({ address }) => address), [SSD, OTHER, NIC]);
  const spoilt = await taken({
    ...MEMBERS,
    [`/sys/devices/${BUS}/${OTHER}/resource`]: "garbage\n",
  }, wanted);
  assert.deepEqual(spoilt.snapshot.functions.map(({ address }) => address), [SSD, NIC]);
  assert.deepEqual(spoilt.snapshot.leftOut?.map(({ address }) => address), [OTHER]);
});

Deno.test("of a function that could not be read it is told whether its group is not known, or none", async () => {
  const spoilt = { [`/sys/devices/${BUS}/${OTHER}/resource`]: "garbage\n" };
  const link = `/sys/devices/${BUS}/${OTHER}/iommu_group`;
  const leftOut = async (more: Readonly<Record<string, Content>>) =>
    (await taken({ ...spoilt, ...more })).snapshot.leftOut;
  assert.deepEqual(await leftOut({}), [{ address: OTHER, iommuGroup: 2 }]);
  const senseless = { [link]: { link: "../../nonsense" } };
  assert.deepEqual(await leftOut(senseless), [{ address: OTHER }]);
  assert.deepEqual(await leftOut({ [link]: "no link\n" }), [{ address: OTHER }]);
  const { [link]: _, ...bare } = SOUND;
  assert.ok(_ !== undefined);
  const root = await Deno.makeTempDir({ prefix: "bargate-left-out-" });
  try {
    writeTree(root, { ...bare, ...spoilt });
    const { snapshot } = readSnapshot(new LinuxFiles(root), KERNEL);
    assert.deepEqual(snapshot.leftOut, [{ address: OTHER, iommuGroupIs: "none" }]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("a function that was not asked for is not left out", async () => {
  const { snapshot } = await taken({}, (address) => address === OTHER);
  assert.equal(snapshot.leftOut, undefined);
});

Deno.test("no other function is taken for the host bridge if the first could not be read", async () => {
  const first = "0000:00:00.0";
  const port = new Uint8Array(192);
  port.set([0x10, 0, 0x42]);
  const machine: Tree = {
    ...functionTree({ address: first, below: BUS, id: [0x8086, 0x29c0], class: "060000" }),
    ...functionTree({
      address: "0000:00:01.0",
      below: BUS,
      id: [0x8086, 0x2030],
      class: "060400",
      config: port,
    }),
    "/proc/cpuinfo": "vendor_id\t: GenuineIntel\ncpu family\t: 6\n\n",
  };
  const path = ({ snapshot }: Awaited<ReturnType<typeof taken>>) => {
    const tree = new PciTree(snapshot);
    const [from, to] = [tree.at(SSD), tree.at(NIC)];
    assert.ok(from !== undefined && to !== undefined);
    const { kind, reason } = judgePath(tree, from, to);
    return [kind, reason.code];
  };
  assert.deepEqual(path(await taken(machine)), ["not-supported", "not-listed"]);
  const spoilt = { ...machine, [`/sys/devices/${BUS}/${first}/resource`]: "garbage\n" };
  for (const wanted of [undefined, (address: string) => [SSD, NIC].includes(address)]) {
    assert.deepEqual(path(await taken(spoilt, wanted)), ["not-known", "bridge-not-read"]);
  }
});

Deno.test("a simulated host lacks what the snapshot lacks, and verbs are told so", async () => {
  const { snapshot } = await taken({
    [`/sys/devices/${BUS}/${NIC}/resource`]: "garbage\n",
    [`/sys/devices/${BUS}/${OTHER}/numa_node`]: "many\n",
  });
  const files = new SnapshotFiles(snapshot, new LinuxFiles());
  const facts = factsOf({ files, ...KERNEL }).take(() => true);
  assert.deepEqual(facts?.snapshot.leftOut, snapshot.leftOut);
  assert.deepEqual(facts?.diagnostics.map(({ code, severity }) => [code, severity]), [
    ["BG2045", "warning"],
  ]);
});

Deno.test("a simulated host knows as much of the groups of what it lacks as the snapshot", async () => {
  const { snapshot } = await taken({});
  const leftOut = [
    { address: "0000:09:00.0" },
    { address: "0000:0a:00.0", iommuGroupIs: "none" },
    { address: "0000:0b:00.0", iommuGroup: 1 },
  ] as const;
  const files = new SnapshotFiles({ ...snapshot, leftOut }, new LinuxFiles());
  assert.deepEqual(readSnapshot(files, KERNEL).snapshot.leftOut, leftOut);
});

Deno.test("fields that make no sense are warned of by verbs that decide", async () => {
  const root = await Deno.makeTempDir({ prefix: "bargate-left-out-" });
  try {
    writeTree(root, { ...SOUND, [`/sys/devices/${BUS}/${OTHER}/numa_node`]: "many\n" });
    const facts = factsOf({ files: new LinuxFiles(root), ...KERNEL }).take(() => true);
    const told = facts?.diagnostics.map(({ code, message }) => `${code} ${message}`) ?? [];
    assert.ok(told.some((text) => /^BG2046 .*numa_node/.test(text)), told.join("\n"));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("a field that makes no sense is not known, which is not the same as none", async () => {
  const folder = `/sys/devices/${BUS}/${SSD}`;
  const { snapshot } = await taken({
    [`${folder}/numa_node`]: "near\n",
    [`${folder}/driver`]: { link: "/sys/bus/pci/drivers/\u202e" },
    [`${folder}/iommu_group`]: { link: "../../nonsense" },
    [`${folder}/power_state`]: "\u202e\n",
  });
  const entry = snapshot.functions.find(({ address }) => address === SSD);
  assert.deepEqual(
    entry?.unreadable.filter(({ right }) => right === NO_RIGHT).map(({ field }) => field).sort(),
    ["driver", "iommuGroup", "numaNode"],
  );
  const match = { numaNode: [1], at: AT };
  const { found, unjudged } = new FunctionIndex(snapshot).matching(match);
  assert.deepEqual([found, unjudged.map(({ address }) => address)], [[], [SSD]]);
});
