/** Which controllers are asked for a plan: each open tries a reset, and so none without need. */
import assert from "node:assert/strict";
import { controllersToAsk, onlyAnswersLack } from "../../engine/controllers_to_ask.ts";
import { makePlan } from "../../engine/plan.ts";
import { preflight } from "../../engine/preflight/preflight.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { PolicySet } from "../../policy/model.ts";

function ssd(number: number, more: Partial<SnapshotFunction> = {}): SnapshotFunction {
  const config = new Uint8Array(256);
  new DataView(config.buffer).setUint32(0, 0x0010_1b36, true);
  return {
    address: `0000:0${number}:00.0`,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: number,
    parent: "pci0000:00",
    cdev: `/dev/vfio/devices/vfio${number}`,
    resetMethods: ["flr"],
    config,
    bars: [
      { index: 0, kind: "memory64", start: 0n, size: 0x4000n, prefetchable: false },
      { index: 2, kind: "memory64", start: 0n, size: 0x100_0000n, prefetchable: true },
    ],
    unreadable: [],
    ...more,
  };
}

function host(...functions: readonly SnapshotFunction[]): HostSnapshot {
  return { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: ["dmar0"], functions };
}

function load(devices: string, exports: string): PolicySet {
  const { set, diagnostics } = loadPolicySet([{
    file: "p.yaml",
    text: `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
defaults: { collateral: device }
devices:
${devices}
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
  other: { identity: { user: nobody }, driver: iommufd }
exports:
${exports}
`,
  }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return set;
}

function device(name: string, number: number, more = ""): string {
  return `  ${name}: { match: { id: "1b36:0010", address: "0000:0${number}:00.0" }${more} }`;
}

function cmb(of: string, importer = "engine", more = ""): string {
  return `  - { name: ${of}-cmb, device: ${of}, bar: 2, region: nvme.cmb, importers: [${importer}]${more} }`;
}

const SLICE = (of: string) =>
  `  - { name: ${of}-slice, device: ${of}, bar: 2, slices: [{ offset: 0, length: 4KiB }], importers: [engine] }`;

function asked(set: PolicySet, on: HostSnapshot, importer?: string) {
  const options = importer === undefined ? {} : { importer };
  return controllersToAsk(set, on, options).map(({ entry, mayEnable }) => [
    entry.address,
    mayEnable,
  ]);
}

const BOTH = host(ssd(1), ssd(2));

Deno.test("only controllers of which the buffer is exported are asked", () => {
  const devices = `${device("a", 1)}\n${device("b", 2)}`;
  assert.deepEqual(asked(load(devices, SLICE("a")), BOTH), []);
  assert.deepEqual(asked(load(devices, `${SLICE("a")}\n${cmb("b")}`), BOTH), [[
    "0000:02:00.0",
    false,
  ]]);
  const enabling = `${device("a", 1, ", enableCmb: true")}\n${device("b", 2)}`;
  assert.deepEqual(asked(load(enabling, `${cmb("a")}\n${cmb("b")}`), BOTH), [
    ["0000:01:00.0", true],
    ["0000:02:00.0", false],
  ]);
});

Deno.test("a controller is not asked for somebody else's rule, unless that is in the way", () => {
  const devices = `${device("a", 1)}\n${device("b", 2)}`;
  const apart = load(devices, `${SLICE("a")}\n${cmb("b", "other")}`);
  assert.deepEqual(asked(apart, BOTH, "engine"), []);
  assert.deepEqual(asked(apart, BOTH, "demo/other"), [["0000:02:00.0", false]]);
  const together = load(devices, `${SLICE("a")}\n${cmb("a", "other")}`);
  assert.deepEqual(asked(together, BOTH, "engine"), [["0000:01:00.0", false]]);
});

Deno.test("who was asked, is borrowed, or is on another driver is not asked", () => {
  const set = load(device("a", 1), cmb("a"));
  const answered = ssd(1, { controllerMemory: { state: "none" } });
  assert.deepEqual(asked(set, host(answered)), []);
  assert.deepEqual(asked(set, host(ssd(1, { driver: "nvme" }))), []);
  assert.deepEqual(asked(set, host(ssd(1, { class: "020000" }))), []);
  const borrowed = load(
    device("a", 1, ", acquire: borrow, owner: { unit: spdk.service }"),
    cmb("a", "engine", ", revocation: cooperative"),
  );
  assert.deepEqual(asked(borrowed, BOTH), []);
});

Deno.test("nothing is opened for a plan that fails by something else", () => {
  const devices = `${device("a", 1)}\n${device("b", 2)}`;
  const set = load(devices, `${cmb("a")}\n${SLICE("b")}`);
  assert.ok(onlyAnswersLack(makePlan(set, BOTH).diagnostics));
  const unbound = host(ssd(1), ssd(2, { driver: "nvme" }));
  assert.ok(!onlyAnswersLack(makePlan(set, unbound).diagnostics));
});

Deno.test("preflight does not hold against a host what export asks for itself", () => {
  const set = load(device("a", 1), cmb("a"));
  const here = preflight(set, BOTH, { source: "this-host", limits: {} });
  assert.ok(here.ready, JSON.stringify(here.diagnostics));
  assert.ok(here.notChecked.some(({ what }) => what.includes("memory buffer of 0000:01:00.0")));
  const there = preflight(set, BOTH, { source: "inventory", limits: {} });
  assert.deepEqual(there.diagnostics.map(({ code }) => code), ["BG2025"]);
});

Deno.test("preflight does not take one controller for another whose address ends like its own", () => {
  const far = "10000:01:00.0";
  const borrowed =
    `  b: { match: { id: "1b36:0010", address: "${far}" }, acquire: borrow, owner: { unit: spdk.service } }`;
  const set = load(
    `${device("a", 1)}\n${borrowed}`,
    `${cmb("a")}\n${cmb("b", "engine", ", revocation: cooperative")}`,
  );
  const there = host(ssd(1), ssd(2, { address: far }));
  assert.deepEqual(asked(set, there), [["0000:01:00.0", false]]);
  const here = preflight(set, there, { source: "this-host", limits: {} });
  assert.ok(!here.ready, "nobody asks the borrowed one");
  const missing = here.diagnostics.filter(({ code }) => code === "BG2025");
  assert.deepEqual(missing.map(({ message }) => message.includes(far)), [true]);
});
