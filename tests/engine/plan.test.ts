import assert from "node:assert/strict";
import { makePlan, type PlannedGrant, type PlanOptions } from "../../engine/plan.ts";
import { planText } from "../../cmd/plan.ts";
import { planJson } from "../../engine/plan_json.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy, SSD } from "./planning.ts";

function plan(text: string, on: HostSnapshot = host(), options: PlanOptions = {}) {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return makePlan(set, on, options);
}

function codes(text: string, on?: HostSnapshot, options?: PlanOptions): string[] {
  const made = plan(text, on, options);
  if (made.diagnostics.length > 0) assert.deepEqual(made.grants, []);
  return made.diagnostics.map(({ code }) => code);
}

Deno.test("makePlan resolves a rule to a grant with everything that the export needs", () => {
  const { grants, diagnostics, denied } = plan(
    policy({ slices: "{ offset: 4KiB, length: rest }" }),
  );
  assert.deepEqual([diagnostics, denied], [[], false]);
  assert.equal(grants.length, 1);
  const [grant] = grants;
  assert.deepEqual(grant?.ranges, [{ offset: 0x1000n, length: 0xff_f000n }]);
  assert.deepEqual(grant?.device, {
    address: SSD,
    above: ["0000:00:10.0"],
    slots: [],
    id: "1b36:0010",
    route: "cdev",
    node: "/dev/vfio/devices/vfio0",
    subsystem: "1af4:1100",
    class: "010802",
    protectedRanges: [
      { what: "msix-table", bar: 0, offset: 0x2000n, length: 0x1000n },
      { what: "msix-pba", bar: 0, offset: 0x3000n, length: 0x1000n },
    ],
    barSizes: new Map([[0, 0x4000n], [2, 0x100_0000n], [5, 0x100n]]),
    holds: ["memory-decode", "low-power"],
  });
  assert.deepEqual(grant?.revocation, ["release", "hold", "close"]);
});

Deno.test("makePlan finds on the host what a policy cannot know", async (t) => {
  const cases: readonly [string, string, HostSnapshot | undefined, string][] = [
    ["no such device", policy({ match: `{ id: "144d:a80a" }` }), undefined, "BG2001"],
    ["two such devices", policy(), host([nvme(SSD), nvme("0000:02:00.0")]), "BG2002"],
    ["another driver", policy(), host([nvme(SSD, { driver: "nvme" })]), "BG2003"],
    ["no BAR", policy({ bar: 1 }), undefined, "BG2005"],
    ["an upper half", policy({ bar: 3 }), undefined, "BG2005"],
    ["I/O space", policy({ bar: 4 }), undefined, "BG2006"],
    ["a small BAR", policy({ bar: 5, slices: "{ offset: 0, length: 4KiB }" }), undefined, "BG2007"],
    ["past the end", policy({ slices: "{ offset: 16MiB, length: 4KiB }" }), undefined, "BG2008"],
    ["nothing left", policy({ slices: "{ offset: 16MiB, length: rest }" }), undefined, "BG2008"],
    ["64 KiB pages", policy(), host([nvme(SSD)], { pageSize: 65536 }), "BG2009"],
    [
      "MSI-X table",
      policy({ bar: 0, slices: "{ offset: 8KiB, length: 4KiB }" }),
      undefined,
      "BG2010",
    ],
    [
      "pending bits",
      policy({ bar: 0, slices: "{ offset: 12KiB, length: 4KiB }" }),
      undefined,
      "BG2010",
    ],
    ["short config", policy(), host([nvme(SSD, { config: new Uint8Array(64) })]), "BG2011"],
    ["Linux 6.18", policy(), host([nvme(SSD)], { kernel: { release: "6.18.44" } }), "BG2015"],
    ["Linux 7.0", policy(), host([nvme(SSD)], { kernel: { release: "7.0.1" } }), "BG2016"],
  ];
  for (const [what, text, on, code] of cases) {
    await t.step(what, () => assert.deepEqual(codes(text, on), [code]));
  }
  await t.step("no cdev", () => {
    const { cdev: _, ...bare } = nvme(SSD);
    assert.deepEqual(codes(policy(), host([bare])), ["BG2004"]);
  });
});

Deno.test("makePlan honours every field of a match", () => {
  const fields: readonly [string, string][] = [
    ["iommuGroup: 1", "iommuGroup: 2"],
    ["barSizes: { 2: 16MiB }", "barSizes: { 2: 32MiB }"],
    ["barSizes: { 0: 16KiB, 2: 16MiB }", "barSizes: { 0: 16KiB, 1: 16MiB }"],
    [`subsystem: "1af4:1100"`, `subsystem: "1af4:1101"`],
    [`class: "010802"`, `class: "0109"`],
  ];
  for (const [holds, fails] of fields) {
    assert.deepEqual(codes(policy({ match: `{ id: "1b36:0010", ${holds} }` })), [], holds);
    assert.deepEqual(codes(policy({ match: `{ id: "1b36:0010", ${fails} }` })), ["BG2001"], fails);
  }
});

Deno.test("makePlan takes the group where there is no character device, or where it is told to", () => {
  const { cdev: _, ...bare } = nvme(SSD, { groupNode: "/dev/vfio/1" });
  const route = (fn: SnapshotFunction, options: PlanOptions = {}) => {
    const [grant] = plan(policy(), host([fn]), options).grants;
    return [grant?.device.route, grant?.device.node];
  };
  const both = nvme(SSD, { groupNode: "/dev/vfio/1" });
  assert.deepEqual(route(bare), ["group", "/dev/vfio/1"]);
  assert.deepEqual(route(both), ["cdev", "/dev/vfio/devices/vfio0"]);
  assert.deepEqual(route(both, { route: "group" }), ["group", "/dev/vfio/1"]);
  assert.deepEqual(codes(policy(), host([bare]), { route: "cdev" }), ["BG2004"]);
});

Deno.test("makePlan says what stands at the address instead", () => {
  const made = plan(policy({ match: `{ id: "144d:a80a", address: "${SSD}" }` }));
  assert.match(
    made.diagnostics[0]?.message ?? "",
    /is 1b36:0010, class 010802, and fits but for its id/,
  );
  assert.deepEqual([made.diagnostics[0]?.line, made.diagnostics[0]?.file], [4, "p.yaml"]);
});

Deno.test("makePlan accepts an unwaited revoke only when it is told to", () => {
  const old = host([nvme(SSD)], { kernel: { release: "7.0.1" } });
  const accepted = plan(policy(), old, { acceptUnwaitedRevoke: true });
  assert.equal(accepted.grants.length, 1);
  const [found, ...others] = accepted.diagnostics;
  assert.deepEqual([found?.code, found?.severity, others], ["BG2059", "note", []]);
  assert.match(found?.message ?? "", /Linux 7\.0\.1 does not wait .*--accept-unwaited-revoke/);
  assert.deepEqual(codes(policy(), undefined, { acceptUnwaitedRevoke: true }), []);
  const older = host([nvme(SSD)], { kernel: { release: "6.18.0" } });
  assert.deepEqual(codes(policy(), older, { acceptUnwaitedRevoke: true }), ["BG2015"]);
});

Deno.test("makePlan exports a protected page only by its own name and with a reason", () => {
  const page = { bar: 0, slices: "{ offset: 8KiB, length: 4KiB }" };
  const table = "    allowProtected: [{ range: msix-table, reason: emulation }]\n";
  const pending = "    allowProtected: [{ range: msix-pba, reason: emulation }]\n";
  const allowed = plan(policy({ ...page, more: table }));
  assert.equal(allowed.grants.length, 1);
  const [found, ...others] = allowed.diagnostics;
  assert.deepEqual([found?.code, found?.severity, others], ["BG2058", "note", []]);
  assert.equal(
    found?.message,
    `demo/data exposes the MSI-X table of ${SSD} ([0x2000, 0x3000) of BAR 0); the policy's reason: emulation`,
  );
  assert.deepEqual(codes(policy({ bar: 2, more: table })), [], "which the slices do not touch");
  assert.deepEqual(codes(policy({ ...page, more: pending })), ["BG2010"]);
});

Deno.test("every protected structure that a slice touches is told, and of which function", () => {
  const both = policy({ bar: 0, slices: "{ offset: 8KiB, length: 8KiB }" });
  const [found] = plan(both).diagnostics;
  assert.equal(
    found?.message,
    "the slice touches the MSI-X table at [0x2000, 0x3000) and the MSI-X pending bit array at [0x3000, 0x4000) of BAR 0 of 0000:01:00.0",
  );
  const many = both.replace("{ ssd: { match", "{ ssd: { many: true, match");
  const all = host([nvme(SSD), nvme("0000:02:00.0")]);
  const told = plan(many, all).diagnostics.map(({ message }) => message.slice(-12));
  assert.deepEqual(told, ["0000:01:00.0", "0000:02:00.0"]);
});

Deno.test("makePlan lets a deny win, by whatever name it knows the device", () => {
  const site = (match: string, rest: string) =>
    `---
apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: site }
devices: { any: { match: ${match} } }
deny: [{ device: any, ${rest} reason: site rule }]
`;
  const deny = (match: string, rest: string) => plan(policy({ tail: site(match, rest) }));
  const hit = deny(`{ class: "0108" }`, "bar: 2, slices: [{ offset: 8KiB, length: 4KiB }],");
  assert.deepEqual([hit.denied, hit.grants], [true, []]);
  assert.deepEqual(hit.diagnostics.map(({ code }) => code), ["BG2013"]);
  assert.deepEqual(hit.diagnostics[0]?.related?.map(({ line }) => line), [17]);
  assert.ok(deny(`{ class: "01" }`, "").denied, "the whole device");
  assert.ok(deny(`{ class: "01" }`, "bar: 2,").denied, "the whole BAR");
  const beside = deny(`{ class: "0108" }`, "bar: 2, slices: [{ offset: 12KiB, length: rest }],");
  assert.deepEqual([beside.denied, beside.grants.length], [false, 1]);
  assert.ok(!deny(`{ class: "0108" }`, "bar: 0,").denied, "another BAR");
  assert.ok(!deny(`{ class: "0200" }`, "").denied, "another device");
});

Deno.test("makePlan says of policies without exports that these are what is missing", () => {
  const bare = policy().replace(/exports:[^]*/, "deny: [{ device: ssd, reason: none }]\n");
  for (const options of [{}, { importer: "engine" }]) {
    const [found, ...rest] = plan(bare, host(), options).diagnostics;
    assert.deepEqual([found?.code, rest], ["BG2014", []]);
    assert.match(found?.message ?? "", /no policy has an entry under `exports`/);
    assert.match(found?.fix ?? "", /^write one, .*bargate init.*uncomment/);
  }
});

Deno.test("makePlan denies an importer that no rule names", () => {
  const made = plan(policy(), host(), { importer: "stranger" });
  assert.deepEqual([made.denied, made.diagnostics.map(({ code }) => code)], [true, ["BG2014"]]);
  assert.equal(plan(policy(), host(), { importer: "engine" }).grants.length, 1);
  assert.equal(plan(policy(), host(), { importer: "demo/engine" }).grants.length, 1);
});

Deno.test("makePlan demands collateral where two names are one device", () => {
  const second = `  - name: log
    device: same
    bar: 2
    slices: [{ offset: 64KiB, length: 4KiB }]
    importers: [engine]
`;
  const text = policy({ tail: second }).replace(
    "} }\nimporters",
    `}, same: { match: { address: "${SSD}" } } }\nimporters`,
  );
  assert.deepEqual(codes(text), ["BG2012", "BG2012"]);
});

Deno.test("makePlan has no hold over a reset for a virtual function, nor where a reset ends nothing", () => {
  const restored = plan(policy({ more: "    onReset: restore\n" }));
  assert.deepEqual(restored.grants[0]?.revocation, ["release", "close"]);
  const made = plan(policy(), host([nvme(SSD, { physfn: "0000:00:01.0" })]));
  assert.deepEqual(made.grants[0]?.revocation, ["release", "close"]);
  assert.deepEqual(made.grants[0]?.device.holds, ["low-power"], "which no reset leaves");
});

Deno.test("planJson has 64-bit numbers as text, and the same bytes for the same plan", () => {
  const encode = () => [{ name: "X", request: "0x3b75", bytes: "00" }];
  const value = planJson(plan(policy()), encode);
  assert.deepEqual(JSON.parse(JSON.stringify(value)).grants, [{
    export: "demo/data",
    importer: "engine",
    recipient: {
      name: "demo/engine",
      identity: { user: "nobody" },
      driver: "iommufd",
      mapping: "importer",
    },
    device: {
      address: SSD,
      id: "1b36:0010",
      node: "/dev/vfio/devices/vfio0",
      subsystem: "1af4:1100",
      class: "010802",
      barSizes: [{ bar: 0, size: "0x4000" }, { bar: 2, size: "0x1000000" }, {
        bar: 5,
        size: "0x100",
      }],
      protectedRanges: [
        { what: "msix-table", bar: 0, offset: "0x2000", length: "0x1000" },
        { what: "msix-pba", bar: 0, offset: "0x3000", length: "0x1000" },
      ],
    },
    bar: 2,
    slices: [{ offset: "0x1000", length: "0x2000" }],
    access: "read-write",
    onReset: "revoke",
    graceMs: 2000,
    revocation: ["release", "hold", "close"],
    holds: [{ by: "memory-decode", overReset: true }, { by: "low-power", overReset: false }],
    resetDomain: [],
    ioctl: { request: "0x3b75", bytes: "00" },
  }]);
  assert.equal(JSON.stringify(value), JSON.stringify(planJson(plan(policy()), encode)));
});

Deno.test("planJson lists the grants, and the functions without, that are reset with a device", () => {
  const [other, native, far] = ["0000:01:00.1", "0000:01:00.2", "0000:02:00.0"] as const;
  const all = host([
    nvme(SSD),
    nvme(other),
    { ...nvme(native), driver: "nvme", iommuGroup: 2 },
    { ...nvme(far), parent: "0000:00:11.0" },
  ]);
  const made = plan(policy({ match: `{ address: ["${SSD}"] }` }), all);
  const second = plan(policy({ match: `{ address: ["${other}"] }` }), all);
  const [first] = made.grants;
  assert.ok(first !== undefined);
  const grants = [first, { ...first, export: "demo/more" }, ...second.grants];
  const value = planJson({ ...made, grants }, () => []);
  const { grants: [json] } = JSON.parse(JSON.stringify(value));
  const importer = "demo/engine";
  assert.deepEqual(json.resetDomain, [
    { address: SSD, through: SSD, grants: [{ export: "demo/more", importer }] },
    { address: other, through: "0000:00:10.0", grants: [{ export: "demo/data", importer }] },
    { address: native, through: "0000:00:10.0", driver: "nvme", grants: [] },
  ]);
});

Deno.test("planJson tells so much of a large reset domain, and how much it leaves out", () => {
  const addresses = Array.from({ length: 40 }, (_, at) => `0000:01:${hex2(at >> 3)}.${at & 7}`);
  const all = host(addresses.map((address) => nvme(address)));
  const [first] = plan(policy({ match: `{ address: ["${SSD}"] }` }), all).grants;
  assert.ok(first !== undefined);
  const made = plan(policy({ match: `{ address: ["${SSD}"] }` }), all);
  const domainOf = (grants: readonly PlannedGrant[]) => {
    const value = planJson({ ...made, grants }, () => []);
    const { grants: [json] } = JSON.parse(JSON.stringify(value));
    const told: { address: string; grants: unknown[] }[] = json.resetDomain;
    return [told.length, told.flatMap((each) => each.grants).length, json.resetDomainOmitted];
  };
  assert.deepEqual(domainOf([first]), [32, 0, { functions: 7, grants: 0 }]);
  const copies = Array.from({ length: 40 }, (_, at) => ({ ...first, export: `demo/e${at}` }));
  assert.deepEqual(domainOf(copies), [1, 32, { functions: 39, grants: 7 }]);
  const elsewhere = copies.slice(0, 20).map((each, at) => {
    return { ...each, device: { ...each.device, address: addresses[at] ?? SSD } };
  });
  assert.deepEqual(domainOf(elsewhere), [32, 19, { functions: 7, grants: 0 }]);
  const told = planText({ ...made, grants: [first] }, {}).split("\n").filter((line) =>
    line.startsWith("  reset with")
  );
  assert.equal(told.length, 33);
  assert.equal(told.at(-1), "  reset with 0 more grants of this plan, and 7 more functions");
});

function hex2(value: number): string {
  return value.toString(16).padStart(2, "0");
}

Deno.test("makePlan promises nothing but the importer's help for a borrowed device", () => {
  const text = policy({ more: "    revocation: cooperative\n" }).replace(
    `match: { id: "1b36:0010" } }`,
    `match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: tgt.service } }`,
  );
  const [grant] = plan(text).grants;
  assert.deepEqual(grant?.revocation, ["release"]);
  assert.deepEqual(grant?.device.owner?.unit?.value, "tgt.service");
  assert.deepEqual(grant?.device.holds, []);
});

Deno.test("a plan shows what a reviewer approves: who, how long, and what a reset does", () => {
  const made = plan(
    policy({ more: "    expires: 8h\n    grace: 1500ms\n    onReset: restore\n" })
      .replace("user: nobody", "executable: /usr/bin/tgt, user: nvmf, unit: tgt.service"),
  );
  const text = planText(made, {});
  for (
    const line of [
      "demo/data -> demo/engine",
      "  importer user nvmf, unit tgt.service, executable /usr/bin/tgt",
      "  device   0000:01:00.0 (1b36:0010), /dev/vfio/devices/vfio0",
      "  BAR 2    [0x1000, 0x3000)",
      "  access   read-write",
      "  expires  8h after the first export, renewals included",
      "  on reset restore",
      "  ended by release, then close, with a grace of 1500ms where it can wait",
    ]
  ) {
    assert.ok(text.split("\n").includes(line), `${line}\n${text}`);
  }
  const { grants: [json] } = JSON.parse(JSON.stringify(planJson(made, () => [])));
  assert.deepEqual(json.recipient.identity, {
    user: "nvmf",
    unit: "tgt.service",
    executable: "/usr/bin/tgt",
  });
  assert.deepEqual([json.onReset, json.graceMs, json.expiresMs], ["restore", 1500, 28_800_000]);
  assert.match(planText(plan(policy()), {}), /\n {2}expires {2}never\n/);
});

Deno.test("importers of one name are told apart by their policies", () => {
  const second = policy({
    more: "    collateral: device\n",
    slices: "{ offset: 1MiB, length: 4KiB }",
  })
    .replace("name: demo", "name: other");
  const text = planText(
    plan(`${policy({ more: "    collateral: device\n" })}---\n${second}`),
    {},
  );
  assert.match(text, /^demo\/data -> demo\/engine$/m);
  assert.match(text, /^other\/data -> other\/engine$/m);
});

Deno.test("a plan of a borrowed device promises no more of its resets than can be seen", () => {
  const borrowed = (onReset: string) =>
    plan(
      policy({ more: `    revocation: cooperative\n    onReset: ${onReset}\n` }).replace(
        `match: { id: "1b36:0010" } }`,
        `match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: tgt.service, user: spdk } }`,
      ),
    );
  const revoked = borrowed("revoke");
  assert.deepEqual(revoked.diagnostics.map(({ code, severity }) => [code, severity]), [
    ["BG2057", "note"],
  ]);
  assert.match(revoked.diagnostics[0]?.message ?? "", /by the owner of 0000:01:00\.0/);
  const text = planText(revoked, {});
  assert.match(text, /, borrowed from user spdk, unit tgt\.service\n/);
  assert.match(
    text,
    /on reset revoke; resets by its owner are seen with export --trace-revokes only/,
  );
  const { grants: [json] } = JSON.parse(JSON.stringify(planJson(revoked, () => [])));
  assert.deepEqual(json.device.owner, { user: "spdk", unit: "tgt.service" });
  assert.deepEqual(borrowed("restore").diagnostics, []);
});

Deno.test("makePlan matches driver, IOMMU group and BAR sizes", () => {
  const match = (more: string) => policy({ match: `{ id: "1b36:0010", ${more} }` });
  for (
    const more of ["driver: vfio-pci", "iommuGroup: [1, 7]", "barSizes: { 2: 16MiB, 0: 16KiB }"]
  ) {
    assert.deepEqual(codes(match(more)), [], more);
  }
  for (const more of ["iommuGroup: 2", "barSizes: { 2: 32MiB }", "barSizes: { 1: 16MiB }"]) {
    assert.deepEqual(codes(match(more)), ["BG2001"], more);
  }
});
