/** `init`: what it writes is valid, allows nothing, and its examples work. @module */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { policyFor } from "../../cmd/init.ts";
import { makePlan } from "../../engine/plan.ts";
import { protectedRanges } from "../../engine/protected_ranges.ts";
import { isVfioDriver } from "../../host/group_viability.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { formatPolicy } from "../../policy/format.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { snapshots } from "../host/random_snapshots.ts";
import { bargate, withFolder } from "./run_verb.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url);
const FILES = [...Deno.readDirSync(HOSTS)].map(({ name }) => name)
  .filter((name) => name.endsWith(".json")).sort();

function read(name: string): HostSnapshot {
  const { snapshot } = parseSnapshot(Deno.readFileSync(new URL(name, HOSTS)));
  assert.ok(snapshot !== undefined);
  return snapshot;
}

/** Everything that must hold of a policy that nobody has touched. */
function assertAllowsNothing(text: string, host: HostSnapshot): void {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }], host);
  assert.deepEqual(diagnostics, []);
  assert.ok(set !== undefined);
  for (const policy of set.policies) {
    assert.deepEqual([policy.exports.length, policy.importers.size], [0, 0]);
  }
  assert.deepEqual(makePlan(set, host).grants, []);
}

/** Lines that one # takes out. */
const TAKEN_OUT = /^#(?!#)/;

/** The policy with one of its examples, as people would uncomment it. */
function withExample(text: string, name: string): string {
  let wanted = true;
  return text.split("\n").map((line) => {
    const example = /^# {2}- name: (.*)$/.exec(line)?.[1];
    if (example !== undefined) wanted = example === name;
    return wanted ? line.replace(TAKEN_OUT, "") : line;
  }).join("\n");
}

function examplesOf(text: string): string[] {
  return [...text.matchAll(/^# {2}- name: (.*)$/gm)].map(([, name]) => name ?? "");
}

/** An example, uncommented, exports one free page of a BAR, or says beforehand that it cannot. */
function assertWorks(text: string, name: string, host: HostSnapshot): boolean {
  const edited = withExample(text, name);
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text: edited }], host);
  // Somebody has to say who the importer is.
  assert.deepEqual(diagnostics.map(({ code }) => code), ["BG1507"], edited);
  assert.ok(set !== undefined);
  const plan = makePlan(set, host);
  const errors = plan.diagnostics.filter(({ severity }) => severity === "error");
  const mark = new RegExp(
    `^# {2}##.*see the device\n# {2}- name: ${name.replaceAll(".", "\\.")}$`,
    "m",
  );
  const kernel = /^## in the way: Linux /m.test(text);
  if (mark.test(text) || kernel) {
    assert.ok(errors.length > 0, "what is said to be in the way is");
    return false;
  }
  assert.deepEqual(errors, []);
  const [grant, ...more] = plan.grants;
  assert.ok(grant !== undefined && more.length === 0);
  const [range, ...others] = grant.ranges;
  assert.ok(range !== undefined && others.length === 0);
  assert.equal(range.length, BigInt(host.pageSize));
  const entry = host.functions.find(({ address }) => address === grant.device.address);
  const guarded = protectedRanges(entry?.config ?? new Uint8Array(), host.pageSize) ?? [];
  for (const { bar, offset, length } of guarded) {
    const apart = range.offset + range.length <= offset || offset + length <= range.offset;
    assert.ok(bar !== grant.bar || apart, "no protected page");
  }
  return true;
}

Deno.test("init of the example hosts is valid, allows nothing, and its examples plan", async (t) => {
  let planned = 0;
  for (const name of FILES) {
    await t.step(name, () => {
      const host = read(name);
      const text = policyFor(host, name);
      assertAllowsNothing(text, host);
      for (const { address, driver } of host.functions) {
        const wanted = driver !== undefined && isVfioDriver(driver);
        assert.equal(text.includes(`address: "${address}"`), wanted, address);
      }
      for (const example of examplesOf(text)) if (assertWorks(text, example, host)) planned++;
    });
  }
  assert.ok(planned >= 8, `${planned} examples plan`);
});

Deno.test("init of every function of the example hosts says what is in the way", () => {
  for (const name of FILES) {
    const host = read(name);
    const text = policyFor(host, name, host.functions.map(({ address }) => address));
    assertAllowsNothing(text, host);
    for (const example of examplesOf(text)) assertWorks(text, example, host);
  }
});

/** Whether `fmt` has nothing to say of it, untouched and with all its examples. */
function assertIsCanonical(text: string): void {
  const all = text.split("\n").map((line) => line.replace(TAKEN_OUT, "")).join("\n");
  for (const each of [text, all]) {
    const formatted = formatPolicy(each);
    assert.equal(formatted.ok ? formatted.text : formatted.why, each);
  }
}

Deno.test("init writes what fmt would, and with its examples uncommented too", () => {
  for (const name of FILES) {
    const host = read(name);
    assertIsCanonical(policyFor(host, name));
    assertIsCanonical(policyFor(host, name, host.functions.map(({ address }) => address)));
  }
});

Deno.test("init takes what people expect for memory, and what they expect for registers", () => {
  const laboratory = read("laboratory.json");
  assert.deepEqual(examplesOf(policyFor(laboratory, "x")), ["memory-0000-00-15.0-bar2"]);
  const asked = withMemory(laboratory, 0x1000n, 0xff_e000n);
  const text = policyFor(asked, "x", ["0000:01:00.0"]);
  assert.deepEqual(examplesOf(text), ["nvme-0000-01-00.0-bar2"]);
  assert.match(text, /device: nvme-0000-01-00\.0, bar: 0, reason: "controller registers/);
  assert.match(
    text,
    /^# {2}## taken for memory, for the controller answered that its memory buffer/m,
  );
  assert.match(
    text,
    /bar: 2\n {4}slices: \[\{ offset: 0x0, length: 4KiB \}\]\n {4}reason: "not known/,
  );
  assert.match(
    text,
    /bar: 2\n {4}slices: \[\{ offset: 0xfff000, length: 4KiB \}\]\n {4}reason: "not known/,
  );
  assert.match(text, /^# {4}slices: \[\{ offset: 0x1000, length: 4KiB \}\]/m);
  assert.ok(assertWorks(text, "nvme-0000-01-00.0-bar2", asked));
  const native = policyFor(laboratory, "x", ["0000:03:00.0"]);
  assert.match(
    native,
    /## in the way: it is bound to nvme, and Bargate exports from vfio-pci only \(BG2003\)/,
  );
  const direct = policyFor(read("spdk-direct.json"), "x");
  assert.match(direct, /## in the way: 0000:.* of its IOMMU group is bound to mlx5_core/);
  const gpu = policyFor(read("gpu-node.json"), "x", ["0000:19:00.0"]);
  assert.deepEqual(examplesOf(gpu), ["gpu-0000-19-00.0-bar2"]);
  assert.match(gpu, /bar: 4(?:, |\n {4})reason: "registers or doorbells: it is not the largest/);
});

/** The laboratory, with a memory buffer of which the first controller told. */
function withMemory(host: HostSnapshot, offset: bigint, size: bigint): HostSnapshot {
  const controllerMemory = { state: "enabled", bar: 2, offset, size } as const;
  return {
    ...host,
    functions: host.functions.map((entry) =>
      entry.address === "0000:01:00.0" ? { ...entry, controllerMemory } : entry
    ),
  };
}

Deno.test("init names the code that plan names where a variant of vfio-pci is bound", () => {
  const host = read("variant.json");
  const text = policyFor(host, "x", ["0000:04:00.2"]);
  assert.match(text, /bound to mlx5_vfio_pci, and Bargate exports from vfio-pci only \(BG2032\)/);
  assert.ok(!text.includes("BG2003"));
  const exporting = text.replace(
    "\ndeny:",
    `
importers:
  i: { identity: { user: root }, driver: iommufd }
exports:
  - { name: e, device: net-0000-04-00.2, bar: 2, slices: [{ offset: 0x0, length: 4KiB }], importers: [i] }
deny:`,
  );
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text: exporting }], host);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  const codes = makePlan(set, host).diagnostics.map(({ code }) => code);
  assert.ok(codes.includes("BG2032"), codes.join(" "));
});

Deno.test("init takes only what is known to be memory for memory", () => {
  const [entry] = read("spdk-direct.json").functions;
  assert.ok(entry !== undefined);
  const bar = (index: number, size: bigint, prefetchable = true, kind = "memory64" as const) => {
    return { index, kind, start: BigInt(index + 1) << 40n, size, prefetchable };
  };
  const config = new Uint8Array(256);
  config[6] = 0x10;
  config[0x34] = 0x50;
  config.set([0x11, 0, 31, 0, 0, 0xe0, 0, 0, 0, 0xf0], 0x50); // MSI-X in BAR 0
  const plain = new Uint8Array(256);
  const MiB = 1n << 20n;
  const cases: readonly (readonly [
    string,
    readonly SnapshotFunction["bars"][number][],
    Uint8Array,
    readonly number[],
  ])[] = [
    ["030000", [bar(0, 16384n * MiB), bar(2, 2n * MiB), bar(5, MiB, false)], plain, [0]],
    ["120000", [bar(0, 64n * MiB), bar(2, 64n * MiB)], plain, []],
    ["120000", [bar(0, 64n * MiB)], config, []],
    ["010400", [bar(0, MiB)], config, []],
    ["010802", [bar(0, MiB, false), bar(2, MiB), bar(4, MiB)], plain, []],
    ["020000", [bar(0, 32n * MiB)], plain, []],
    ["050000", [bar(0, MiB)], config, [0]],
    ["050210", [bar(0, MiB)], plain, []],
    ["ff0000", [bar(0, MiB)], plain, []],
    ["030000", [bar(0, MiB)], plain.subarray(0, 64), []],
  ];
  for (const [code, bars, bytes, examples] of cases) {
    const host: HostSnapshot = {
      kernel: { release: "7.3.4" },
      pageSize: 4096,
      iommu: [],
      functions: [{ ...entry, class: code, config: bytes, bars, parent: "pci0000:00" }],
    };
    const text = policyFor(host, "x", [entry.address]);
    assertAllowsNothing(text, host);
    assert.deepEqual(examplesOf(text).map((name) => Number(name.slice(-1))), examples, code);
    for (const { index } of bars.filter((bar) => !examples.includes(bar.index))) {
      assert.match(
        text,
        new RegExp(`^  - .*device: .*(?:, |\\n {4})bar: ${index}(?:,|\\n)`, "m"),
        code,
      );
    }
    const known = [...text.matchAll(/^# {2}## taken for memory, for .+$/gm)].length;
    assert.equal(known, examples.length, code);
  }
});

/** Names as nobody should give them: sysfs and files are other people's. */
const evil = fc.oneof(
  fc.constantFrom(
    "x\nexports:\n  - name: evil",
    "# exports:",
    "\r\n---\n",
    '"} , deny: [',
    "a\u2028b\u0085c\u202ed\u0000",
    "\u{1f600}".repeat(300),
    "#exports:",
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
);

/** Hosts whose functions could be exported from, but for what their names and bytes are. */
const hostile: fc.Arbitrary<HostSnapshot> = fc.tuple(snapshots, evil, evil, fc.boolean()).map(
  ([host, name, other, ready]) => ({
    ...host,
    description: name,
    kernel: { release: ready ? "7.3.4" : other },
    functions: host.functions.map((entry, index): SnapshotFunction => ({
      ...entry,
      slot: name,
      resetMethods: [other],
      class: ready && index % 2 === 0 ? "050000" : entry.class,
      driver: ready ? "vfio-pci" : other,
      ...(ready ? { iommuGroup: index, cdev: `/dev/vfio/devices/vfio${index}` } : {}),
    })),
  }),
);

Deno.test("whatever a host's names are, init's policy is valid, allows nothing, and its examples work", () => {
  let planned = 0;
  fc.assert(fc.property(hostile, evil, (host, from) => {
    const addresses = host.functions.map(({ address }) => address);
    fc.pre(addresses.length > 0);
    const text = policyFor(host, from, addresses);
    assert.match(text, /^[\x20-\x7e\n]*$/);
    assertAllowsNothing(text, host);
    for (const example of examplesOf(text)) if (assertWorks(text, example, host)) planned++;
    const all = text.split("\n").map((line) => line.replace(TAKEN_OUT, "")).join("\n");
    const { set } = loadPolicySet([{ file: "p.yaml", text: all }], host);
    const devices = set?.policies.flatMap((policy) => [...policy.devices.keys()]);
    if (set !== undefined) assert.equal(devices?.length, addresses.length);
  }));
  assert.ok(planned > 0, "some of them plan");
});

Deno.test("what may hold a group, and only may, is said and takes no example away", () => {
  const laboratory = read("laboratory.json");
  const host: HostSnapshot = { ...laboratory, leftOut: [{ address: "0000:00:1f.0" }] };
  const text = policyFor(host, "x");
  assert.match(text, /^ {2}## perhaps in the way: 0000:00:1f\.0, which may hold .*\(BG2206\)$/m);
  assert.doesNotMatch(text, /see the device/);
  assert.ok(examplesOf(text).every((example) => assertWorks(text, example, host)));
});

Deno.test("init as a verb writes a file that only its account can read, or to standard output", async () => {
  const host = new URL("laboratory.json", HOSTS).pathname;
  await withFolder(async (folder) => {
    const out = `${folder}/first.yaml`;
    const rights = ["--allow-read", `--allow-write=${folder}`];
    const wrote = await bargate(["init", "--inventory", host, "--out", out], { rights });
    assert.deepEqual([wrote.status, wrote.stdout], [0, ""], wrote.stderr);
    assert.match(wrote.stderr, /policy written to .*first\.yaml\n$/);
    assert.equal(((await Deno.stat(out)).mode ?? 0) & 0o777, 0o600);
    const told = await bargate(["init", "--inventory", host, "--device", "0000:01:00.0"]);
    assert.equal(told.status, 0, told.stderr);
    assert.equal([...told.stdout.matchAll(/^ {4}match:/gm)].length, 1);
    const valid = await bargate(["validate", out]);
    assert.equal(valid.status, 0, valid.stderr);
  });
});

Deno.test("init says what is wrong with what it is asked for", async () => {
  const host = new URL("laboratory.json", HOSTS).pathname;
  const wrong: readonly (readonly [readonly string[], ExitStatus, RegExp])[] = [
    [["--inventory", host, "--device", "01:00.0"], ExitStatus.usage, /full PCI address/],
    [
      ["--inventory", host, "--device", "00010000:E1:00.0"],
      ExitStatus.usage,
      /write 10000:e1:00\.0/,
    ],
    [["--inventory", host, "--device", "ffff:00:00.0"], ExitStatus.hostNotReady, /no PCI function/],
    [["--inventory", host, "--sim", host], ExitStatus.usage, /Cannot look at two hosts/],
    [["--inventory", "/nonexistent"], ExitStatus.usage, /Cannot read the inventory/],
    [["--inventory", import.meta.filename ?? ""], ExitStatus.hostNotReady, /BG2101/],
  ];
  for (const [args, status, message] of wrong) {
    const ran = await bargate(["init", ...args], { rights: ["-A"] });
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stderr, message);
    assert.equal(ran.stdout, "");
  }
});
