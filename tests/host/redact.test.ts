/** `--redact`: what must not be in a redacted snapshot, and what must not change by it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { makePlan } from "../../engine/plan.ts";
import { planJson } from "../../engine/plan_json.ts";
import { protectedRanges } from "../../engine/protected_ranges.ts";
import { extendedCapabilities, standardCapabilities } from "../../host/capability_list.ts";
import { hasFunctionReset, resizableBars } from "../../host/capabilities.ts";
import { findCapability, msixRanges, PCI_CAP_ID_MSIX } from "../../host/config_space.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import { redactSnapshot } from "../../host/redact.ts";
import { redactConfig } from "../../host/redact_config.ts";
import { serialOf } from "../../host/serial.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { redirectBits } from "../../host/topology/acs.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { snapshots } from "./random_snapshots.ts";
import { runs } from "../support/runs.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url);
const POLICIES = new URL("../../examples/policies/", import.meta.url);

function print(snapshot: HostSnapshot): string {
  return [...printSnapshot(snapshot)].join("");
}

function parse(text: string): HostSnapshot {
  const { snapshot, problems } = parseSnapshot(new TextEncoder().encode(text));
  assert.deepEqual(problems, []);
  assert.ok(snapshot !== undefined);
  return snapshot;
}

/** A word that stands nowhere by chance. */
const secret = fc.stringMatching(/^[G-Z]{12}$/);
const secretBytes = fc.uint8Array({ minLength: 8, maxLength: 8 }).filter((bytes) =>
  new Set(bytes).size === 8
);

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Where a device can keep what is nobody's affair: what is kept around it is found by its chain. */
const HIDING_PLACES = {
  "the data of vital product data": 0x64,
  "a vendor's capability": 0x72,
  "a gap of the first 256 bytes": 0xe0,
  "the device serial number": 0x104,
  "a vendor's extended capability": 0x118,
  "packets that error reporting logged": 0x13c,
  "a capability that nobody knows": 0x164,
  "bytes that no capability claims": 0x800,
} as const;

const CHAIN = { 0x40: 0x11, 0x4c: 0x10, 0x60: 0x03, 0x70: 0x09 } as const;
const EXTENDED_CHAIN = {
  0x100: 0x03,
  0x110: 0x0b,
  0x120: 0x01,
  0x160: 0x7abc,
  0x180: 0x0d,
} as const;

/** Configuration space with a chain of capabilities. */
function configWith(places: Readonly<Record<number, Uint8Array>>, ids: [number, number]) {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  view.setUint16(0, ids[0], true);
  view.setUint16(2, ids[1], true);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  const standard = Object.entries(CHAIN);
  for (const [index, [at, id]] of standard.entries()) {
    config.set([id, Number(standard[index + 1]?.[0] ?? 0)], Number(at));
  }
  const extended = Object.entries(EXTENDED_CHAIN);
  for (const [index, [at, id]] of extended.entries()) {
    view.setUint32(
      Number(at),
      (Number(extended[index + 1]?.[0] ?? 0) << 20 | 1 << 16 | id) >>> 0,
      true,
    );
  }
  config.set([7, 0, 0, 0x20, 0, 0, 0, 0x30], 0x42); // MSI-X
  view.setUint32(0x184, 0x001d_005f, true); // ACS
  for (const [at, bytes] of Object.entries(places)) config.set(bytes, Number(at));
  return config;
}

const secretConfig = fc.tuple(...Object.values(HIDING_PLACES).map(() => secretBytes)).map((all) =>
  Object.fromEntries(
    Object.values(HIDING_PLACES).map((at, index) => [at, all[index] ?? new Uint8Array()]),
  )
);

Deno.test("no secret of a snapshot is in the redacted one, which is sound", () => {
  const words = fc.tuple(secret, secret, secret, secret, secret);
  fc.assert(fc.property(snapshots, words, secretConfig, (plain, words, places) => {
    const [local, slot, rdma, command, text] = words;
    const release = `7.3.4-${local}`;
    const snapshot: HostSnapshot = {
      ...plain,
      description: text,
      kernel: { ...plain.kernel, release },
      unreadable: [{ field: `kernel.config in /boot/config-${release}`, right: "CAP" }],
      rdma: [{ name: rdma }],
      functions: plain.functions.map((entry) => ({
        ...entry,
        slot,
        openBy: [{ pid: 4711, command }],
        config: configWith(places, [parseInt(entry.vendor, 16), parseInt(entry.device, 16)]),
      })),
    };
    const redacted = redactSnapshot(snapshot);
    const printed = print(redacted);
    for (const word of words) assert.ok(!printed.includes(word), word);
    for (const [at, bytes] of Object.entries(places)) {
      assert.ok(!printed.includes(hexOf(bytes)), `bytes at ${at}`);
    }
    assert.deepEqual(parse(printed), redacted);
    for (const [index, { config }] of redacted.functions.entries()) {
      const before = snapshot.functions[index]?.config ?? config;
      assert.deepEqual(standardCapabilities(config), standardCapabilities(before));
      assert.deepEqual(extendedCapabilities(config), extendedCapabilities(before));
      assert.deepEqual(msixRanges(config), msixRanges(before));
      assert.deepEqual(config.subarray(0x180, 0x188), before.subarray(0x180, 0x188));
      assert.deepEqual(
        serialOf({ config }),
        { is: "known", serial: "00-00-00-00-00-00-00-01" },
        "the same card everywhere",
      );
    }
  }));
});

Deno.test("text that neither the kernel nor Bargate can have written is an alias", () => {
  const words = fc.array(secret, { minLength: 12, maxLength: 12 });
  fc.assert(fc.property(snapshots, words, (plain, words) => {
    const [iommu, drm, nvme, reset, power, cpu, field, right, driver, override, home, cap] = words;
    assert.ok(iommu && drm && nvme && reset && right && field && cap);
    const snapshot: HostSnapshot = {
      ...plain,
      cpu: { vendor: cpu ?? "", family: 6 },
      iommu: ["dmar0", iommu, `smmu3.${iommu}`],
      unreadable: [{ field: `access of /dev/${field}`, right }],
      drm: [{ name: `card0-${drm}` }, { name: `renderD${drm}` }],
      nvme: [{ name: `nvme-${nvme}` }],
      functions: plain.functions.map((entry) => ({
        ...entry,
        driver: `driver of ${driver}`,
        driverOverride: `${override}`,
        resetMethods: ["flr", reset, "bus"],
        powerState: `${power}`,
        runtimeStatus: `${power}`,
        unreadable: [{ field: `/home/${home}/file`, right: `CAP_${cap}` }],
      })),
    };
    const redacted = redactSnapshot(snapshot);
    const printed = print(redacted);
    for (const word of words) assert.ok(!printed.includes(word), word);
    assert.deepEqual(parse(printed), redacted);
  }));
});

Deno.test("what the kernel and Bargate write is kept", () => {
  const entry = parse(Deno.readTextFileSync(new URL("spdk-direct.json", HOSTS))).functions[0];
  assert.ok(entry !== undefined);
  const host: HostSnapshot = {
    kernel: { release: "7.3.4" },
    cpu: { vendor: "AuthenticAMD", family: 25 },
    pageSize: 4096,
    iommu: ["dmar12", "ivhd0", "smmu3.0x000000002b400000"],
    unreadable: [
      { field: "kernel.config in /boot/config-7.3.4", right: "CAP_DAC_READ_SEARCH" },
      { field: "openBy, of 12 processes", right: "CAP_SYS_PTRACE" },
      { field: "access of /dev/vfio/12", right: "CAP_DAC_READ_SEARCH" },
      {
        field: "/sys/bus/pci/devices/0000:01:00.0/iommu_group/devices",
        right: "CAP_DAC_READ_SEARCH",
      },
    ],
    drm: [{ name: "card0" }, { name: "renderD128" }],
    nvme: [{ name: "nvme0" }],
    functions: [{
      ...entry,
      driver: "mlx5_vfio_pci",
      driverOverride: "mlx5_vfio_pci",
      resetMethods: ["device_specific", "acpi", "flr", "af_flr", "pm", "bus", "cxl_bus"],
      powerState: "D3hot",
      runtimeStatus: "suspended",
      unreadable: [{ field: "config beyond 64 bytes", right: "CAP_SYS_ADMIN" }],
    }],
  };
  const { description: _, functions, ...rest } = redactSnapshot(host);
  const { functions: before, ...whole } = host;
  assert.deepEqual(rest, whole);
  const facts = (
    { driver, driverOverride, resetMethods, powerState, runtimeStatus, unreadable }: typeof entry,
  ) => {
    return { driver, driverOverride, resetMethods, powerState, runtimeStatus, unreadable };
  };
  assert.deepEqual(functions.map(facts), before.map(facts));
});

Deno.test("an override is kept only if a function is bound to that driver", () => {
  const entry = parse(Deno.readTextFileSync(new URL("spdk-direct.json", HOSTS))).functions[0];
  assert.ok(entry !== undefined);
  const { functions } = redactSnapshot({
    kernel: { release: "7.3.4" },
    pageSize: 4096,
    iommu: [],
    functions: [
      { ...entry, driver: "vfio-pci", driverOverride: "acme" },
      { ...entry, driver: "nvme", driverOverride: "vfio-pci" },
    ],
  });
  assert.deepEqual(functions.map(({ driverOverride }) => driverOverride), [
    "driver001",
    "vfio-pci",
  ]);
});

const HEADER_BYTES = 64;
const CUT = "config beyond 64 bytes, where capabilities overlap";

/** Whatever decisions are made by. */
function decisions(config: Uint8Array) {
  return {
    redirects: redirectBits(config),
    protectedRanges: protectedRanges(config, 4096),
    functionReset: hasFunctionReset(config),
    resizableBars: resizableBars(config),
    msix: findCapability(config, PCI_CAP_ID_MSIX),
  };
}

Deno.test("any configuration space is redacted without a fault, and decides the same or nothing", () => {
  const config = fc.oneof(
    fc.uint8Array({ minLength: 64, maxLength: 300 }),
    fc.uint8Array({ minLength: 4096, maxLength: 4096, size: "max" }),
  );
  fc.assert(fc.property(config, (config) => {
    config[6] = 0x10;
    const redacted = redactConfig(config, () => 1n);
    assert.deepEqual(redacted.subarray(0, HEADER_BYTES), config.subarray(0, HEADER_BYTES));
    if (redacted.length === HEADER_BYTES) return;
    assert.equal(redacted.length, config.length);
    assert.deepEqual(decisions(redacted), decisions(config));
  }));
});

Deno.test("a capability that reaches out of its space takes nothing of the other along", () => {
  const config = new Uint8Array(4096).fill(0x5a);
  config.set([0x10], 0x06);
  config.set([0xf0], 0x34);
  config.set([0x10, 0, 2, 0], 0xf0);
  config.set([0, 0, 0, 0], 0x100);
  assert.deepEqual(redactConfig(config, () => 1n), config.slice(0, HEADER_BYTES));
});

Deno.test("chains of capabilities decide the same when redacted, or nothing where they overlap", () => {
  const standard = fc.array(
    fc.tuple(fc.constantFrom(0x01, 0x03, 0x05, 0x09, 0x0d, 0x10, 0x11, 0x13), fc.nat(17)),
    { minLength: 1, maxLength: 4 },
  );
  const extended = fc.array(
    fc.tuple(fc.constantFrom(0x01, 0x03, 0x0b, 0x0d, 0x0e, 0x10, 0x15, 0x23, 0x24), fc.nat(30)),
    { minLength: 1, maxLength: 6 },
  );
  const filling = fc.uint8Array({ minLength: 4096, maxLength: 4096, size: "max" });
  const kept = { whole: 0, cut: 0 };
  fc.assert(
    fc.property(filling, standard, extended, (config, standard, extended) => {
      const view = new DataView(config.buffer);
      config[6] = 0x10;
      let at = config[0x34] = 0x40;
      for (const [index, [id, gap]] of standard.entries()) {
        const next = index === standard.length - 1 ? 0 : at + 4 + 4 * gap;
        config.set([id, next < 0xfc ? next : 0], at);
        if (config[at + 1] === 0) break;
        at = next;
      }
      at = 0x100;
      for (const [index, [id, gap]] of extended.entries()) {
        const next = index === extended.length - 1 ? 0 : at + 4 + 4 * gap;
        view.setUint32(at, (next << 20 | 1 << 16 | id) >>> 0, true);
        at = next;
      }
      const redacted = redactConfig(config, () => 1n);
      if (redacted.length === HEADER_BYTES) return void kept.cut++;
      kept.whole++;
      assert.deepEqual(decisions(redacted), decisions(config));
      for (const { id, at } of standardCapabilities(redacted)) {
        if (id !== 0x10 || ((redacted[at + 2] ?? 0) & 0xf) < 2 || at + 0x18 > 256) continue;
        const slot = new DataView(redacted.buffer).getUint32(at + 0x14, true) >>> 19;
        assert.equal(slot, 0, "the number of a slot");
      }
    }),
    { numRuns: runs(1000) },
  );
  assert.ok(kept.whole > 0 && kept.cut > 0, JSON.stringify(kept));
});

Deno.test("hiding a number takes no part of another capability with it", () => {
  const { functions: [entry] } = parse(
    Deno.readTextFileSync(new URL("spdk-direct.json", HOSTS)),
  );
  assert.ok(entry !== undefined);
  const serialOverAccessControl = new Uint8Array(4096);
  const view = new DataView(serialOverAccessControl.buffer);
  view.setUint32(0x100, 0x104 << 20 | 0x1_0003, true);
  view.setUint32(0x104, 0x1_000d, true);
  view.setUint16(0x10a, 0x0c, true);
  assert.equal(redirectBits(serialOverAccessControl)?.length, 2);
  const redacted = redactSnapshot({
    kernel: { release: "7.3.4" },
    pageSize: 4096,
    iommu: [],
    functions: [{ ...entry, config: serialOverAccessControl }],
  });
  const [found] = redacted.functions;
  assert.equal(redirectBits(found?.config ?? serialOverAccessControl), undefined);
  assert.deepEqual(found?.unreadable, [
    ...entry.unreadable,
    { field: CUT, right: "the inventory as it was" },
  ]);
  assert.deepEqual(redactSnapshot(redacted).functions, redacted.functions);
  // The first version of PCI Express can be followed by another capability where a slot would be.
  const short = new Uint8Array(256);
  short[6] = 0x10;
  short[0x34] = 0x40;
  short.set([0x10, 0x54, 0x01], 0x40);
  short.set([0x11, 0, 0xff, 0x07, 0, 0x20, 0, 0, 0, 0x30], 0x54);
  assert.deepEqual(msixRanges(redactConfig(short, () => 1n)), msixRanges(short));
});

Deno.test("plans of the example hosts are the same when these are redacted", () => {
  const policies = [...Deno.readDirSync(POLICIES)].map(({ name }) => name)
    .filter((name) => name.endsWith(".yaml"));
  for (const { name } of Deno.readDirSync(HOSTS)) {
    if (!name.endsWith(".json")) continue;
    const host = parse(Deno.readTextFileSync(new URL(name, HOSTS)));
    for (const file of policies) {
      const text = Deno.readTextFileSync(new URL(file, POLICIES));
      const { set } = loadPolicySet([{ file, text }], { pageSize: host.pageSize });
      if (set === undefined) continue;
      const told = (snapshot: HostSnapshot) => {
        const plan = planJson(makePlan(set, snapshot), () => []);
        return JSON.parse(JSON.stringify({ ...plan, host: undefined }));
      };
      assert.deepEqual(told(redactSnapshot(host)), told(host), `${file} on ${name}`);
    }
  }
});

Deno.test("what is the same stays the same, and what is not does not", () => {
  const entry = parse(Deno.readTextFileSync(new URL("spdk-direct.json", HOSTS))).functions[0];
  assert.ok(entry !== undefined);
  const access = (uid: number, gid: number) => ({ uid, gid, mode: "0660" });
  const { functions } = redactSnapshot({
    kernel: { release: "7.3.4" },
    pageSize: 4096,
    iommu: [],
    functions: [
      { ...entry, slot: "a", cdevAccess: access(0, 70), openBy: [{ pid: 9, command: "x" }] },
      { ...entry, slot: "b", cdevAccess: access(70, 0), openBy: [{ pid: 9 }] },
      { ...entry, slot: "a", cdevAccess: access(71, 70) },
    ],
  });
  assert.deepEqual(functions.map(({ slot, cdevAccess, openBy }) => [slot, cdevAccess, openBy]), [
    ["slot001", access(0, 1000), [{ pid: 1, command: "process001" }]],
    ["slot002", access(1000, 0), [{ pid: 1 }]],
    ["slot001", access(1001, 1000), undefined],
  ]);
});
