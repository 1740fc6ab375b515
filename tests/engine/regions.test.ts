/** Regions of NVMe controllers on real ranges: what the host must know, and what it then comes to. */
import assert from "node:assert/strict";
import { makePlan } from "../../engine/plan.ts";
import { preflight } from "../../engine/preflight/preflight.ts";
import type { ControllerMemory, HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";

const SSD = "0000:01:00.0";

function host(more: Partial<SnapshotFunction> = {}, pageSize = 4096): HostSnapshot {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  const ssd: SnapshotFunction = {
    address: SSD,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: 1,
    parent: "pci0000:00",
    cdev: "/dev/vfio/devices/vfio0",
    resetMethods: ["flr"],
    config,
    bars: [
      { index: 0, kind: "memory64", start: 0n, size: 0x4000n, prefetchable: false },
      { index: 2, kind: "memory64", start: 0n, size: 0x100_0000n, prefetchable: true },
    ],
    unreadable: [],
    ...more,
  };
  return { kernel: { release: "7.3.4" }, pageSize, iommu: ["dmar0"], functions: [ssd] };
}

function made(exports: string, on: HostSnapshot, device = "", deny = "") {
  const { set, diagnostics } = loadPolicySet([{
    file: "p.yaml",
    text: `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" }${device} } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
defaults: { collateral: device }
exports:
${exports}
${deny}`,
  }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return { plan: makePlan(set, on), preflight: preflight(set, on, { limits: {} }) };
}

/** Warnings apart. */
function plan(...given: Parameters<typeof made>) {
  const { diagnostics, grants } = made(...given).plan;
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  return errors.length > 0
    ? errors.map(({ code }) => code)
    : grants.map(({ bar, ranges }) => [bar, ...ranges]);
}

const BELLS = "  - { name: bells, device: ssd, region: nvme.doorbells, importers: [engine] }";
const CMB = "  - { name: cmb, device: ssd, bar: 2, region: nvme.cmb, importers: [engine] }";

const FIRST_MIB: ControllerMemory = { state: "enabled", bar: 2, offset: 0n, size: 0x10_0000n };

Deno.test("the doorbells are one page of BAR 0, of NVMe controllers only", () => {
  assert.deepEqual(plan(BELLS, host()), [[0, { offset: 0x1000n, length: 0x1000n }]]);
  assert.deepEqual(plan(BELLS, host({ class: "010803" })), ["BG2024"]);
  assert.deepEqual(plan(BELLS, host({ class: "020000" })), ["BG2024"]);
  const small = {
    index: 0,
    kind: "memory32",
    start: 0n,
    size: 0x1000n,
    prefetchable: false,
  } as const;
  assert.deepEqual(plan(BELLS, host({ bars: [small] })), ["BG2008"]);
});

Deno.test("the doorbells cannot leave a host with larger pages, for registers would go with them", () => {
  assert.deepEqual(plan(BELLS, host({}, 16384)), ["BG2009"]);
  assert.deepEqual(plan(BELLS, host({}, 65536)), ["BG2007"], "where the BAR is less than a page");
  const bar = {
    index: 0,
    kind: "memory64",
    start: 0n,
    size: 0x2_0000n,
    prefetchable: false,
  } as const;
  assert.deepEqual(plan(BELLS, host({ bars: [bar] }, 65536)), ["BG2009"]);
});

Deno.test("doorbells beside an MSI-X table keep clear of it", () => {
  const { functions: [ssd] } = host();
  const config = ssd?.config.slice() ?? new Uint8Array();
  const view = new DataView(config.buffer);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x11);
  view.setUint32(0x44, 0x2000, true);
  view.setUint32(0x48, 0x3000, true);
  assert.deepEqual(plan(BELLS, host({ config })), [[0, { offset: 0x1000n, length: 0x1000n }]]);
  view.setUint32(0x44, 0x1800, true);
  assert.deepEqual(plan(BELLS, host({ config })), ["BG2010"]);
});

Deno.test("a controller memory buffer is where the controller says, if it was asked", () => {
  const at = (controllerMemory: ControllerMemory) => host({ controllerMemory });
  assert.deepEqual(plan(CMB, at(FIRST_MIB)), [[2, { offset: 0n, length: 0x10_0000n }]]);
  const later = { ...FIRST_MIB, offset: 0x20_0000n };
  assert.deepEqual(plan(CMB, at(later)), [[2, { offset: 0x20_0000n, length: 0x10_0000n }]]);
  assert.deepEqual(plan(CMB, host()), ["BG2025"]);
  assert.deepEqual(plan(CMB, at({ state: "none" })), ["BG2027"]);
  assert.deepEqual(plan(CMB, at({ ...FIRST_MIB, bar: 4 })), ["BG2028"]);
  const behind = { ...FIRST_MIB, offset: 0x100_0000n };
  assert.deepEqual(plan(CMB, at(behind)), ["BG2008"], "hostile");
  assert.deepEqual(plan(CMB, at({ ...FIRST_MIB, offset: 0x800n })), ["BG2009"]);
  assert.deepEqual(plan(CMB, host({ class: "020000", controllerMemory: FIRST_MIB })), ["BG2024"]);
});

Deno.test("a buffer that its controller has placed is planned, and what the open one must say", () => {
  const { plan, preflight } = made(CMB, host({ controllerMemory: FIRST_MIB }));
  assert.deepEqual([plan.diagnostics, preflight.diagnostics, preflight.ready], [[], [], true]);
  const [grant] = plan.grants;
  assert.deepEqual(grant?.device.controllerMemory, { ...FIRST_MIB, mayEnable: false });
  const bells = made(`${BELLS}\n${CMB}`, host({ controllerMemory: FIRST_MIB }));
  const memories = bells.plan.grants.map(({ device }) => device.controllerMemory);
  assert.deepEqual(memories, [memories[0], memories[0]], "it goes for the device");
  assert.ok(memories[0] !== undefined);
  assert.equal(made(BELLS, host()).plan.grants[0]?.device.controllerMemory, undefined);
});

Deno.test("a buffer that is larger than its BAR ends with it, and is not enabled by Bargate", () => {
  const larger = { ...FIRST_MIB, offset: 0x20_0000n, size: 0x200_0000n };
  const { grants: [grant] } = made(CMB, placed(larger), ", enableCmb: true").plan;
  assert.deepEqual(grant?.ranges, [{ offset: 0x20_0000n, length: 0xe0_0000n }]);
  const { size, mayEnable } = grant.device.controllerMemory ?? {};
  assert.deepEqual([size, mayEnable], [larger.size, false], "what the open one must say");
  const off = placed({ ...larger, state: "disabled" });
  assert.deepEqual(plan(CMB, off, ", enableCmb: true"), ["BG2029"]);
  const whole = { ...FIRST_MIB, state: "disabled", size: 0x100_0000n } as const;
  assert.equal(plan(CMB, placed(whole), ", enableCmb: true").length, 1);
});

/** The same, with BAR 2 at 4 GiB and 256 MiB. */
function placed(controllerMemory: ControllerMemory): HostSnapshot {
  const config = host().functions[0]?.config.slice() ?? new Uint8Array();
  const view = new DataView(config.buffer);
  view.setUint32(0x18, 0x1000_000c, true);
  view.setUint32(0x1c, 1, true);
  return host({ config, controllerMemory });
}

Deno.test("a buffer that is not enabled is told, with what would enable it", () => {
  const off = host({ controllerMemory: { state: "disabled" } });
  assert.deepEqual(plan(CMB, off), ["BG2026"]);
  assert.deepEqual(plan(CMB, off, ", enableCmb: true"), ["BG2029"], "nobody knows where");
  const on = host({ controllerMemory: FIRST_MIB });
  assert.deepEqual(plan(CMB, on, ", enableCmb: true"), [[2, { offset: 0n, length: 0x10_0000n }]]);
  const shown = { ...FIRST_MIB, offset: 0x20_0000n, state: "disabled" } as const;
  assert.deepEqual(plan(CMB, placed(shown)), ["BG2026"]);
  assert.deepEqual(plan(CMB, placed({ ...shown, bar: 4 }), ", enableCmb: true"), ["BG2028"]);
  const nowhere = host({ controllerMemory: shown });
  assert.deepEqual(plan(CMB, nowhere, ", enableCmb: true"), ["BG2029"], "a BAR without address");
  const { grants } = made(CMB, placed(shown), ", enableCmb: true").plan;
  assert.deepEqual(grants.map(({ ranges }) => ranges), [[{
    offset: 0x20_0000n,
    length: 0x10_0000n,
  }]]);
  assert.deepEqual(grants[0]?.device.controllerMemory, {
    ...shown,
    mayEnable: true,
    base: 0x1_1020_0000n,
  });
});

Deno.test("what hits a buffer that only the host knows is seen in the plan", () => {
  const on = host({ controllerMemory: FIRST_MIB });
  const deny = (offset: string) =>
    `deny: [{ device: ssd, bar: 2, slices: [{ offset: ${offset}, length: 8 }], reason: queues }]`;
  assert.deepEqual(plan(CMB, on, "", deny("64KiB")), ["BG2013"]);
  assert.equal(plan(CMB, on, "", deny("2MiB")).length, 1);
  const slices = (offset: string, more = "") =>
    `  - { name: own, device: ssd, bar: 2, slices: [{ offset: ${offset}, length: 4KiB }], importers: [engine]${more} }`;
  assert.deepEqual(plan(`${CMB}\n${slices("4KiB")}`, on), ["BG2022"]);
  assert.equal(plan(`${CMB}\n${slices("1MiB")}`, on).length, 2);
  const shared = CMB.replace(" }", ", shared: true }");
  assert.equal(plan(`${shared}\n${slices("4KiB", ", shared: true")}`, on).length, 2);
});
