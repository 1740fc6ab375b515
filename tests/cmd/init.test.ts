/** `init`: what it writes is valid, allows nothing, and its examples work. @module */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { CommandError } from "../../cmd/errors.ts";
import { policyFor } from "../../cmd/init.ts";
import { makePlan } from "../../engine/plan.ts";
import { protectedRanges } from "../../engine/protected_ranges.ts";
import { isVfioDriver } from "../../host/group_viability.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
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
  assert.deepEqual(diagnostics, [], edited);
  assert.ok(set !== undefined);
  const plan = makePlan(set, host);
  const errors = plan.diagnostics.filter(({ severity }) => severity === "error");
  const mark = new RegExp(`^#.*see the device\n# {2}- name: ${name.replaceAll(".", "\\.")}$`, "m");
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
  assert.ok(planned > 10, `${planned} examples plan`);
});

Deno.test("init of every function of the example hosts says what is in the way", () => {
  for (const name of FILES) {
    const host = read(name);
    const text = policyFor(host, name, host.functions.map(({ address }) => address));
    assertAllowsNothing(text, host);
    for (const example of examplesOf(text)) assertWorks(text, example, host);
  }
});

Deno.test("init takes what people expect for memory, and what they expect for registers", () => {
  const text = policyFor(read("laboratory.json"), "x");
  assert.ok(examplesOf(text).includes("nvme-0000-01-00.0-bar2"));
  assert.match(text, /device: nvme-0000-01-00\.0, bar: 0, reason: "controller registers/);
  const native = policyFor(read("laboratory.json"), "x", ["0000:03:00.0"]);
  assert.match(native, /## in the way: it is bound to nvme, and only vfio-pci exports \(BG2003\)/);
  const direct = policyFor(read("spdk-direct.json"), "x");
  assert.match(direct, /## in the way: 0000:.* of its IOMMU group is bound to mlx5_core/);
  const gpu = policyFor(read("gpu-node.json"), "x", ["0000:19:00.0"]);
  assert.deepEqual(examplesOf(gpu), ["gpu-0000-19-00.0-bar2", "gpu-0000-19-00.0-bar4"]);
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
      driver: ready ? "vfio-pci" : other,
      ...(ready ? { iommuGroup: index, cdev: `/dev/vfio/devices/vfio${index}` } : {}),
    })),
  }),
);

Deno.test("whatever a host's names are, init's policy is valid, allows nothing, and its examples work", () => {
  let planned = 0;
  fc.assert(fc.property(hostile, evil, (host, from) => {
    const addresses = host.functions.map(({ address }) => address);
    const nameable = addresses.filter((address) => address.startsWith("000"));
    if (nameable.length === 0) {
      assert.throws(() => policyFor(host, from), CommandError);
      return;
    }
    const text = policyFor(host, from, addresses);
    assert.equal([...text.matchAll(/^## left out: /gm)].length, addresses.length - nameable.length);
    assert.match(text, /^[\x20-\x7e\n]*$/);
    assertAllowsNothing(text, host);
    for (const example of examplesOf(text)) if (assertWorks(text, example, host)) planned++;
    const all = text.split("\n").map((line) => line.replace(TAKEN_OUT, "")).join("\n");
    const { set } = loadPolicySet([{ file: "p.yaml", text: all }], host);
    const devices = set?.policies.flatMap((policy) => [...policy.devices.keys()]);
    if (set !== undefined) assert.equal(devices?.length, nameable.length);
  }));
  assert.ok(planned > 0, "some of them plan");
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
