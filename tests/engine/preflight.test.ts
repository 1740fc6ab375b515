import assert from "node:assert/strict";
import { systemClock } from "../../engine/clock.ts";
import { descriptorsFor } from "../../engine/preflight/limit_findings.ts";
import type { HostNames } from "../../engine/preflight/importer_identity_findings.ts";
import { leftUnopened } from "../../engine/preflight/left_unopened.ts";
import { probeLive } from "../../engine/preflight/live.ts";
import {
  type Preflight,
  preflight,
  type PreflightOptions,
} from "../../engine/preflight/preflight.ts";
import { KERNEL_OPTIONS, type KernelOption } from "../../host/kernel_options.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { host, nvme, policy, SSD } from "./planning.ts";
import { planned, simFunction } from "./support.ts";

const RNIC: SnapshotFunction = {
  ...nvme("0000:02:00.0"),
  vendor: "15b3",
  device: "101e",
  driver: "mlx5_core",
  iommuGroup: 2,
};
const VIRTIO_NET: SnapshotFunction = {
  ...nvme("0000:00:05.0"),
  vendor: "1af4",
  device: "1041",
  driver: "virtio-pci",
  iommuGroup: 3,
};
const WITH_RNIC = host([nvme(SSD), RNIC]);
const ROOM: PreflightOptions = { limits: { openFiles: 1024 } };

function check(
  text: string,
  on: HostSnapshot = WITH_RNIC,
  options: PreflightOptions = ROOM,
): Preflight {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return preflight(set, on, options);
}

const ALL_ON = Object.fromEntries(KERNEL_OPTIONS.map((option) => [option, "y" as const]));

/** Topology has tests of its own. */
const PATH_NOT_CHECKED = "BG2205";

/** A policy whose device somebody else owns. */
function borrowed(): string {
  return policy({ more: "    revocation: cooperative\n" }).replace(
    `{ match: { id: "1b36:0010" } }`,
    `{ match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: a.service } }`,
  );
}

function withCommand(entry: SnapshotFunction, command: number): SnapshotFunction {
  const config = entry.config.slice();
  config[4] = command;
  return { ...entry, config };
}

/** With power management, before its other capabilities. */
function withPowerState(entry: SnapshotFunction, state: number): SnapshotFunction {
  const config = new Uint8Array(256);
  config.set(entry.config.subarray(0, 256));
  const at = 0xe0;
  config.set([1, config[0x34] ?? 0, 0, 0, state], at);
  config[0x06] = 0x10;
  config[0x34] = at;
  return { ...entry, config };
}

const MEMORY_ON = withCommand(nvme(SSD), 2);

Deno.test("preflight finds nothing where everything is there", () => {
  const found = check(policy());
  assert.deepEqual(found.diagnostics, []);
  assert.equal(found.ready, true);
  assert.deepEqual(found.grants.map(({ revocation }) => revocation), [[
    "release",
    "hold",
    "close",
  ]]);
  assert.deepEqual(found.notChecked.map(({ what }) => what), [
    "kernel options",
    "whether the account that exports may open the devices",
    "whether the devices can export",
    `whether another process has ${SSD} or its IOMMU group open`,
    "whether importer demo/engine is there (user nobody)",
  ]);
});

Deno.test("what could not be judged is a warning, and listed as not checked", () => {
  const listed = (text: string, on: HostSnapshot) => {
    const { diagnostics, notChecked, ready } = check(text, on);
    assert.equal(ready, true);
    const warned = diagnostics.filter(({ severity }) => severity === "warning");
    return [warned.map(({ code }) => code), notChecked.map(({ what }) => what)] as const;
  };
  const right = "CAP_DAC_READ_SEARCH";
  const { driver: _, ...silent } = nvme("0000:01:00.1", { device: "0011" });
  const hidden = { ...silent, unreadable: [{ field: "driver", right }] };
  const [codes, what] = listed(policy(), host([nvme(SSD), hidden]));
  assert.deepEqual(codes, ["BG2206"]);
  assert.ok(what.includes("whether VFIO can own an IOMMU group"));
  const { iommuGroup: _group, ...loose } = nvme(SSD);
  const lost = { ...loose, unreadable: [{ field: "iommuGroup", right }] };
  assert.deepEqual(listed(policy(), host([lost]))[0], ["BG2206"]);
  const [paths, ways] = listed(policy({ driver: "mlx5" }), WITH_RNIC);
  assert.deepEqual(paths, ["BG2205"]);
  assert.ok(ways.includes("the path between importer and device"));
});

Deno.test("an importer without the RDMA device, or the option, that it attaches by is not ready", () => {
  const NIC = RNIC.address;
  const told = (text: string, more: Partial<HostSnapshot>) =>
    check(text, { ...WITH_RNIC, ...more }).diagnostics
      .filter(({ severity }) => severity === "error")
      .map(({ code, line, column }) => `${code} ${line}:${column}`);
  const mlx5 = policy({ driver: "mlx5" });
  const declared = policy({ driver: `mlx5, device: { address: "${NIC}" }` });
  assert.deepEqual(told(mlx5, { rdma: [{ name: "mlx5_0", function: NIC }] }), []);
  assert.deepEqual(told(mlx5, { rdma: [] }), ["BG2051 5:60"]);
  assert.deepEqual(told(mlx5, { rdma: [{ name: "rxe0" }] }), ["BG2051 5:60"]);
  assert.deepEqual(told(declared, { rdma: [] }), ["BG2051 5:74"]);
  assert.deepEqual(told(policy(), { rdma: [] }), []);
  const ice = host([nvme(SSD), { ...RNIC, vendor: "8086", device: "1592", driver: "ice" }]);
  assert.deepEqual(told(policy({ driver: "irdma" }), { ...ice, rdma: [] }), ["BG2051 5:60"]);
  const unasked = check(mlx5).notChecked.map(({ what }) => what);
  assert.ok(unasked.includes("whether importer demo/engine has an RDMA device"));
  const off = (...options: readonly KernelOption[]) => ({
    rdma: [{ name: "mlx5_0", function: NIC }],
    kernel: {
      release: "7.3.4",
      config: { ...ALL_ON, ...Object.fromEntries(options.map((option) => [option, "n" as const])) },
    },
  });
  const paging = off("CONFIG_INFINIBAND_ON_DEMAND_PAGING");
  assert.deepEqual(told(mlx5, paging), ["BG2033 5:60"]);
  assert.deepEqual(told(policy(), paging), []);
  assert.deepEqual(told(mlx5, off("CONFIG_INFINIBAND_USER_ACCESS")), ["BG2033 5:60"]);
  assert.deepEqual(told(mlx5, off("CONFIG_VFIO_GROUP")), []);
  assert.deepEqual(told(mlx5, off("CONFIG_VFIO_DEVICE_CDEV")), ["BG2033 undefined:undefined"]);
  assert.deepEqual(told(policy(), off("CONFIG_IOMMUFD")), ["BG2033 5:60"]);
});

Deno.test("a device or group that is open elsewhere, and a borrowed one that is not, are told", () => {
  const qemu = [{ pid: 77, command: "qemu" }];
  const told = (text: string, on: HostSnapshot, options: PreflightOptions = ROOM) => {
    const { diagnostics, notChecked } = check(text, on, options);
    const open = notChecked.filter(({ what }) => / open$/.test(what));
    return [...diagnostics.map(({ code }) => code), ...open.map(({ why }) => why)];
  };
  const looked = nvme(SSD, { openBy: [] });
  const mate = (more: Partial<SnapshotFunction>) =>
    nvme("0000:01:00.1", { device: "0011", openBy: [], ...more });
  const alone = "nobody looked; `bargate inventory --owners` does";
  assert.deepEqual(told(policy(), host([nvme(SSD)])), [alone]);
  assert.deepEqual(told(policy(), host([nvme(SSD)]), { ...ROOM, live: true }), []);
  assert.deepEqual(told(policy(), host([looked])), []);
  assert.deepEqual(told(policy(), host([nvme(SSD, { openBy: qemu })])), ["BG2052"]);
  assert.deepEqual(told(policy(), host([looked, mate({ openBy: qemu })])), ["BG2052"]);
  assert.deepEqual(told(policy(), host([looked, mate({ openBy: qemu, iommuGroup: 9 })])), []);
  const { openBy: _, ...unseen } = mate({});
  assert.deepEqual(told(policy(), host([looked, unseen])), [alone]);
  assert.deepEqual(told(policy(), host([looked, { ...unseen, driver: "pcieport" }])), []);
  const unreadable = [{ field: "openBy, of 3 processes", right: "CAP_SYS_PTRACE" }];
  assert.deepEqual(told(policy(), host([looked], { unreadable })), [
    "processes could not be looked at (openBy, of 3 processes)",
  ]);
  const lent = { ...MEMORY_ON, powerState: "D0" };
  const owners = "owners are looked for when a device is borrowed";
  assert.deepEqual(told(borrowed(), host([lent])), ["BG2041", "BG2057", owners]);
  assert.deepEqual(told(borrowed(), host([{ ...lent, openBy: [] }])), [
    "BG2053",
    "BG2041",
    "BG2057",
  ]);
  assert.deepEqual(told(borrowed(), host([{ ...lent, openBy: [] }], { unreadable })), [
    "BG2041",
    "BG2057",
    owners,
  ]);
  assert.deepEqual(told(borrowed(), host([{ ...lent, openBy: qemu }])), [
    "BG2041",
    "BG2057",
    `${owners}; process 77 (qemu) has it`,
  ]);
});

Deno.test("a configuration that does not name an option says nothing of it", () => {
  const config = { CONFIG_VFIO_PCI: "y", CONFIG_DMA_SHARED_BUFFER: "y" } as const;
  const { notChecked } = check(policy(), host(undefined, { kernel: { release: "7.3.4", config } }));
  assert.deepEqual(
    notChecked.find(({ what }) => what === "kernel options")?.why.split(": ")[1],
    [
      "CONFIG_PCI_P2PDMA",
      "CONFIG_VFIO_PCI_DMABUF",
      "CONFIG_VFIO_DEVICE_CDEV",
      "CONFIG_IOMMUFD",
    ].join(", "),
  );
});

interface Finding {
  readonly what: string;
  readonly text?: string;
  readonly on?: HostSnapshot;
  readonly options?: PreflightOptions;
  readonly codes: readonly string[];
  readonly says: RegExp;
  /** Line and column in the policy. */
  readonly at?: readonly [number, number];
}

const FINDINGS: readonly Finding[] = [
  {
    what: "another device at the address",
    text: policy({ match: `{ id: "144d:a80a", address: "${SSD}", barSizes: { 2: 8MiB } }` }),
    codes: ["BG2031"],
    says: /fits but for its id \(1b36:0010\), barSizes \(2: 16777216\)/,
    at: [4, 26],
  },
  {
    what: "the device, in another group than the match wants",
    text: policy({ match: `{ id: "1b36:0010", address: "${SSD}", iommuGroup: 9 }` }),
    codes: ["BG2001"],
    says: /fits but for its iommuGroup \(1\)/,
  },
  {
    what: "a variant driver",
    on: host([nvme(SSD, { driver: "mlx5_vfio_pci" }), RNIC]),
    codes: ["BG2032"],
    says: /mlx5_vfio_pci/,
  },
  {
    what: "a kernel without the feature",
    on: { ...WITH_RNIC, kernel: { release: "7.3.4", config: { CONFIG_VFIO_PCI_DMABUF: "n" } } },
    codes: ["BG2033"],
    says: /built without CONFIG_VFIO_PCI_DMABUF/,
  },
  {
    what: "no function of the importer's driver",
    text: policy({ driver: "mlx5" }),
    on: host([nvme(SSD)]),
    codes: ["BG2034"],
    says: /bound to mlx5_core/,
    at: [5, 60],
  },
  {
    what: "functions of virtio, none of them a GPU",
    text: policy({ driver: "virtio-gpu" }),
    on: host([nvme(SSD), VIRTIO_NET]),
    codes: ["BG2034"],
    says: /no PCI function is a virtio GPU \(1af4:1050\) bound to virtio-pci/,
    at: [5, 60],
  },
  {
    what: "a network function that is declared to be the GPU",
    text: policy({ driver: `virtio-gpu, device: { address: "0000:00:05.0" }` }),
    on: host([nvme(SSD), VIRTIO_NET]),
    codes: ["BG2019"],
    says: /is 0000:00:05\.0 \(1af4:1041\), bound to virtio-pci, and not a virtio GPU/,
  },
  {
    what: "a node of root's",
    on: host([nvme(SSD, { cdevAccess: { uid: 0, gid: 7, mode: "0660" } }), RNIC]),
    options: { ...ROOM, account: { uid: 1000, gids: [1000, 8] } },
    codes: ["BG2035"],
    says: /uid 0, gid 7, mode 0660: uid 1000 may not open it/,
    at: [8, 13],
  },
  {
    what: "a borrowed device asleep",
    text: borrowed(),
    on: host([{ ...MEMORY_ON, powerState: "D3hot" }, RNIC]),
    codes: ["BG2036", "BG2041", "BG2057"],
    says: /D3hot/,
    at: [8, 13],
  },
  {
    what: "a borrowed device of which the kernel does not know whether it is awake",
    text: borrowed(),
    on: host([{ ...MEMORY_ON, powerState: "unknown" }, RNIC]),
    codes: ["BG2036", "BG2041", "BG2057"],
    says: /in a power state that the kernel does not know/,
  },
  {
    what: "a borrowed device without power states that runtime power management has suspended",
    text: borrowed(),
    on: host([{ ...MEMORY_ON, powerState: "D0", runtimeStatus: "suspended" }, RNIC]),
    codes: ["BG2036", "BG2041", "BG2057"],
    says: /is suspended by runtime power management: a call would wake it/,
    at: [8, 13],
  },
  {
    what: "a borrowed device that sleeps by its register while the kernel has it in D0",
    text: borrowed(),
    on: host([
      { ...withPowerState(MEMORY_ON, 3), powerState: "D0", runtimeStatus: "active" },
      RNIC,
    ]),
    codes: ["BG2036", "BG2041", "BG2057"],
    says: /in D3hot by its own register/,
  },
  {
    what: "a device of Bargate's own that the kernel cannot resume",
    on: host([{ ...nvme(SSD), powerState: "D3hot", runtimeStatus: "error" }, RNIC]),
    codes: ["BG2049"],
    says: /does not resume 0000:01:00\.0 any more/,
    at: [8, 13],
  },
  {
    what: "a borrowed device that the kernel cannot resume",
    text: borrowed(),
    on: host([{ ...MEMORY_ON, powerState: "D0", runtimeStatus: "error" }, RNIC]),
    codes: ["BG2049", "BG2041", "BG2057"],
    says: /its power\/runtime_status is error/,
  },
  {
    what: "a borrowed device that decodes nothing",
    text: borrowed(),
    on: host([{ ...withCommand(nvme(SSD), 0), powerState: "D0" }, RNIC]),
    codes: ["BG2037", "BG2041", "BG2057"],
    says: /born revoked/,
  },
  {
    what: "a driver that came later",
    text: policy({ driver: "irdma" }),
    on: host([nvme(SSD), { ...RNIC, driver: "ice" }], { kernel: { release: "7.0.2" } }),
    options: { ...ROOM, acceptUnwaitedRevoke: true },
    codes: ["BG2038", "BG2059"],
    says: /from Linux 7\.1 on, this is 7\.0\.2/,
  },
  {
    what: "no room for descriptors",
    options: { limits: { openFiles: 70 } },
    codes: ["BG2039"],
    says: /RLIMIT_NOFILE is 70/,
  },
  {
    what: "little locked memory",
    text: policy({ driver: "mlx5" }),
    options: { limits: { openFiles: 1024, lockedMemory: 65536 } },
    codes: ["BG2040"],
    says: /65536 bytes, which importer demo\/engine inherits/,
    at: [5, 14],
  },
  {
    what: "a grant that only its importer gives back",
    text: borrowed(),
    on: host([{ ...MEMORY_ON, powerState: "D0" }, RNIC]),
    codes: ["BG2041", "BG2057"],
    says: /only release takes the grant back/,
    at: [7, 11],
  },
];

Deno.test("preflight finds what stands in the way, where the policy says so", async (t) => {
  for (const { what, text = policy(), on = WITH_RNIC, options = ROOM, ...expected } of FINDINGS) {
    await t.step(what, () => {
      const checked = check(text, on, options);
      const diagnostics = checked.diagnostics.filter(({ code }) => code !== PATH_NOT_CHECKED);
      assert.deepEqual(diagnostics.map(({ code }) => code), expected.codes);
      const [first] = diagnostics;
      assert.match(first?.message ?? "", expected.says);
      if (expected.at !== undefined) assert.deepEqual([first?.line, first?.column], expected.at);
      assert.equal(checked.ready, first?.severity !== "error");
    });
  }
});

Deno.test("a path to a GPU that is not there is not said to lack its driver", () => {
  const text = policy({ driver: "virtio-gpu" });
  const { diagnostics } = check(text, host([nvme(SSD), VIRTIO_NET]));
  const [path] = diagnostics.filter(({ code }) => code === PATH_NOT_CHECKED);
  assert.match(path?.message ?? "", /no function of the host is a virtio GPU \(1af4:1050\)/);
  const gpu = { ...VIRTIO_NET, device: "1050" };
  const there = check(text, host([nvme(SSD), gpu])).diagnostics;
  assert.ok(!there.some(({ code }) => code === "BG2034"));
  const named = policy({ driver: `virtio-gpu, device: { address: "0000:00:05.0" }` });
  assert.ok(
    !check(named, host([nvme(SSD), gpu])).diagnostics.some(({ code }) => code === "BG2019"),
  );
});

Deno.test("preflight lists what nobody could look at, and why", () => {
  const listed = (text: string, on: HostSnapshot, options: PreflightOptions) =>
    check(text, { ...on, kernel: { release: "7.3.4", config: ALL_ON } }, options)
      .notChecked.map(({ what, why }) => `${what}: ${why}`);
  const names: HostNames = {
    user: () => ({ unknown: "the name service is away" }),
    group: () => "there",
    executable: () => "there",
  };
  const here = { ...ROOM, source: "this-host", live: true, names } as const;
  const account = { uid: 1000, gids: [1000] };
  assert.deepEqual(listed(policy(), WITH_RNIC, { ...here, account }), [
    `whether uid 1000 may open /dev/vfio/devices/vfio0 of ${SSD}: whose the node is could not be read`,
    "whether importer demo/engine is there (user nobody): the name service is away",
  ]);
  const unread = { account: "Cannot read /proc/self/status: not allowed" };
  assert.deepEqual(listed(policy(), WITH_RNIC, { ...here, unread }).slice(0, 1), [
    `whether the account that exports may open the devices: ${unread.account}`,
  ]);
  assert.deepEqual(listed(borrowed(), host([MEMORY_ON, RNIC]), { ...here, account }), [
    `whether ${SSD} can export: it is borrowed, and only its owner may open it`,
    `whether its owner (unit a.service) has ${SSD} open: owners are looked for when a device is borrowed`,
    `whether ${SSD} is awake: its power state could not be read; nothing is exported from it but in D0`,
    "whether importer demo/engine is there (user nobody): the name service is away",
  ]);
  assert.deepEqual(listed(policy(), WITH_RNIC, { source: "simulated" }).slice(0, 3), [
    "whether the account that exports may open the devices: nodes of simulated devices have no owner",
    "limits of the exporting process: a simulated host does not have them",
    "whether the devices can export: no device is opened without --live",
  ]);
});

Deno.test("preflight looks up who importers are where it can", () => {
  const text = policy().replace(
    "{ user: nobody }",
    "{ user: nobody, group: gone, unit: a.service, executable: /usr/bin/gone }",
  );
  const names: HostNames = {
    user: () => "there",
    group: () => "absent",
    executable: () => "absent",
  };
  const { diagnostics, notChecked, ready } = check(text, WITH_RNIC, {
    ...ROOM,
    names,
    account: { uid: 0, gids: [0] },
    source: "this-host",
  });
  assert.equal(ready, false);
  assert.deepEqual(diagnostics.map(({ code, message }) => `${code} ${message}`), [
    "BG2044 importer demo/engine: this host has no group gone",
    "BG2044 importer demo/engine: this host has no executable /usr/bin/gone",
  ]);
  assert.match(notChecked.at(-1)?.what ?? "", /\(unit a\.service\)/);
});

Deno.test("preflight judges nodes as the kernel does: the first class that fits decides", () => {
  const may = (mode: string, uid: number, gids: readonly number[]) => {
    const entry = nvme(SSD, { cdevAccess: { uid: 5, gid: 7, mode } });
    return check(policy(), host([entry, RNIC]), { ...ROOM, account: { uid, gids } }).ready;
  };
  assert.equal(may("0600", 5, [1]), true);
  assert.equal(may("0066", 5, [7]), false, "of the owner only the owner's bits count");
  assert.equal(may("0060", 6, [1, 7]), true);
  assert.equal(may("0606", 6, [7]), false);
  assert.equal(may("0606", 6, [1]), true);
  assert.equal(may("0400", 5, [1]), false, "reading alone opens nothing");
  assert.equal(may("0000", 0, [1]), true);
});

Deno.test("preflight keeps what can be exported beside what cannot", () => {
  const two = `${policy({ more: "    collateral: device\n" })}  - name: past
    device: ssd
    bar: 0
    slices: [{ offset: 1MiB, length: 4KiB }]
    importers: [engine]
    collateral: device
`;
  const { grants, ready, diagnostics } = check(two);
  assert.equal(ready, false);
  assert.deepEqual(diagnostics.map(({ code }) => code), ["BG2008"]);
  assert.deepEqual(grants.map((grant) => grant.export), ["demo/data"]);
});

Deno.test("preflight takes as many descriptors as an export can need", () => {
  const { grants } = check(policy());
  assert.ok(descriptorsFor(grants) > 64 && descriptorsFor(grants) < 100);
  assert.ok(descriptorsFor([...grants, ...grants]) > descriptorsFor(grants));
});

/** Looks live at a simulated device, after all that preflight does beforehand. */
async function live(text: string, options: PreflightOptions = ROOM, on = WITH_RNIC) {
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  const { grants, diagnostics } = preflight(set, on, options);
  const kernel = new SimKernel({ functions: [simFunction(SSD)] });
  const left = leftUnopened({ set, host: on, grants, diagnostics });
  const probed = await probeLive({ kernel, clock: systemClock }, grants, left);
  return { left: [...probed.left], grants, opened: probed.left.size < grants.length };
}

const BY_TWO_NAMES = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  own: { match: { id: "1b36:0010" } }
  other: { match: { iommuGroup: 1 }, acquire: borrow, owner: { unit: spdk.service } }
importers:
  a: { identity: { user: nobody }, driver: iommufd }
  b: { identity: { user: daemon }, driver: iommufd }
exports:
  - { name: one, device: own, bar: 2, slices: [{ offset: 0, length: 4KiB }], importers: [a] }
`;
const BY_BOTH = `${BY_TWO_NAMES}  - name: two
    device: other
    bar: 2
    slices: [{ offset: 8KiB, length: 4KiB }]
    importers: [b]
    revocation: cooperative
`;

Deno.test("what any rule borrows is not opened by another name of it", async () => {
  assert.deepEqual((await live(BY_BOTH)).left, [[SSD, "borrowed"]]);
  const only = await live(BY_BOTH, { ...ROOM, importer: "a" });
  assert.deepEqual(only.grants.map(({ rule }) => rule.name), ["one"]);
  assert.deepEqual(only.left, [[SSD, "borrowed"]]);
  assert.deepEqual((await live(BY_TWO_NAMES)).left, [[SSD, "borrowed"]], "declared is enough");
});

Deno.test("an error about a device says nothing of one whose address is the end of its own", () => {
  const { set: plain } = loadPolicySet([{ file: "p.yaml", text: policy() }]);
  assert.ok(plain !== undefined);
  const { grants } = preflight(plain, WITH_RNIC, ROOM);
  const error = (message: string) => [{
    code: "BG2206" as const,
    severity: "error" as const,
    message,
    file: "elsewhere.yaml",
    line: 1,
    column: 1,
    endLine: 1,
    endColumn: 2,
    fix: "",
    help: "",
  }];
  const left = (
    message: string,
  ) => [...leftUnopened({ set: plain, host: WITH_RNIC, grants, diagnostics: error(message) })];
  assert.deepEqual(left(`1${SSD} is gone`), []);
  assert.deepEqual(left(`1${SSD} is beside ${SSD}, which is gone`), [[SSD, "faulty"]]);
});

Deno.test("probeLive itself leaves a device that a later grant borrows", async () => {
  const owner = { unit: { value: "a.service", at: planned().rule.at } };
  const kernel = new SimKernel({ functions: [simFunction(SSD)] });
  const grants = [planned(), planned({ name: "more", owner })];
  const { left } = await probeLive({ kernel, clock: systemClock }, grants);
  assert.deepEqual([...left], [[SSD, "borrowed"]]);
});

Deno.test("a device with an error of its own is not opened, and others are", async () => {
  const account = { uid: 1000, gids: [1000] };
  const locked = nvme(SSD, { cdevAccess: { uid: 0, gid: 0, mode: "0600" } });
  const on = host([locked, RNIC]);
  assert.deepEqual((await live(policy(), { ...ROOM, account }, on)).left, [[SSD, "faulty"]]);
  assert.deepEqual((await live(policy(), { limits: { openFiles: 70 } })).left, [[SSD, "faulty"]]);
  assert.deepEqual((await live(policy())).left, []);
  const elsewhere = `${policy()}  - name: past
    device: gone
    bar: 2
    slices: [{ offset: 0, length: 4KiB }]
    importers: [engine]
`.replace("devices: {", `devices: { gone: { match: { address: "0000:77:00.0" } },`);
  const found = await live(elsewhere);
  assert.deepEqual([found.left, found.opened], [[], true]);
});

Deno.test("probeLive opens each device once, asks it, and leaves nothing open", async () => {
  const owner = { unit: { value: "a.service", at: planned().rule.at } };
  const grants = [
    planned(),
    planned({ name: "more" }),
    planned({ name: "borrowed", address: "0000:03:00.0", owner }),
    planned({ name: "gone", address: "0000:04:00.0" }),
  ];
  for (const feature of ["present", "absent"] as const) {
    const kernel = new SimKernel({
      functions: [simFunction(SSD)],
      ...(feature === "present" ? {} : { feature: { state: "absent", cause: "driver" } }),
    });
    const { findings, left } = await probeLive({ kernel, clock: systemClock }, grants);
    assert.deepEqual([...left], [["0000:03:00.0", "borrowed"]]);
    const said = findings.map(({ diagnostic: { code, message } }) => `${code} ${message}`);
    assert.match(said.pop() ?? "", /BG2042 .*0000:04:00\.0: the node is not there/);
    if (feature === "absent") {
      assert.match(said.pop() ?? "", /BG2042 .*0000:01:00\.0.*bind vfio-pci/);
    }
    assert.deepEqual(said, []);
    assert.deepEqual(kernel.table.open(), []);
    assert.ok([...kernel.devices.values()].every(({ isOpen }) => !isOpen));
  }
});
