/** Which functions of a host a policy's device is, and what grants of many devices are called. */
import assert from "node:assert/strict";
import { makePlan } from "../../engine/plan.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { mismatches } from "../../engine/match_fields.ts";
import { FunctionIndex } from "../../engine/resolve.ts";
import { loadPolicySet } from "../../policy/load.ts";

const [ONE, TWO, THREE] = ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"];

function serialConfig(last: number, bytes = 4096): Uint8Array {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint32(0x100, 0x0001_0003, true);
  view.setUint32(0x104, 0xffa0_1200 + last, true);
  view.setUint32(0x108, 0x001b_21ff, true);
  return config.slice(0, bytes);
}

function ssd(
  address: string,
  last: number,
  more: Partial<SnapshotFunction> = {},
): SnapshotFunction {
  return {
    address,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: last,
    numaNode: last % 2,
    parent: "pci0000:00",
    cdev: `/dev/vfio/devices/vfio${last}`,
    resetMethods: ["flr"],
    config: serialConfig(last),
    bars: [{ index: 2, kind: "memory64", start: 0n, size: 0x8000n, prefetchable: true }],
    unreadable: [],
    ...more,
  };
}

function host(functions = [ssd(ONE, 1), ssd(TWO, 2), ssd(THREE, 3)]): HostSnapshot {
  return { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: ["dmar0"], functions };
}

const RULE = "slices: [{ offset: 0, length: 8KiB }], importers: [engine], collateral: device";

function plan(devices: string, rest: string, on = host()) {
  const { set, diagnostics } = loadPolicySet([{
    file: "p.yaml",
    text: `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: ${devices}
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
${rest}`,
  }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return makePlan(set, on);
}

function one(match: string, on?: HostSnapshot, more = "") {
  const rest = `exports: [{ name: data, device: ssd, bar: 2, ${RULE} }]`;
  return plan(`{ ssd: { match: ${match}${more} } }`, rest, on);
}

function addresses({ grants, diagnostics }: ReturnType<typeof makePlan>) {
  const told = diagnostics.filter(({ severity }) => severity !== "note");
  return told.length > 0
    ? told.map(({ code }) => code)
    : grants.map(({ device }) => device.address);
}

Deno.test("a serial number singles a device out, and its target carries the number", () => {
  const made = one(`{ id: "1b36:0010", serial: "00-1b-21-ff-ff-a0-12-02" }`);
  assert.deepEqual(addresses(made), [TWO]);
  assert.equal(made.grants[0]?.device.serial, "00-1b-21-ff-ff-a0-12-02");
  assert.deepEqual(addresses(one(`{ serial: "00-1b-21-ff-ff-a0-12-09" }`)), ["BG2001"]);
});

Deno.test("a function whose serial number is out of sight is never a match, and plan says why", () => {
  const blind = host([ssd(ONE, 1), ssd(TWO, 2, { config: serialConfig(2, 64) })]);
  const match = `{ id: "1b36:0010", serial: "00-1b-21-ff-ff-a0-12-01" }`;
  const [finding] = one(match, blind).diagnostics;
  assert.equal(finding?.code, "BG2021");
  assert.match(finding.message, /0000:02:00\.0 .*only 64 bytes .* needs CAP_SYS_ADMIN/);
  const other = `{ id: "1b36:0010", address: "${ONE}", serial: "00-1b-21-ff-ff-a0-12-01" }`;
  assert.deepEqual(addresses(one(other, blind)), [ONE], "which the address tells from the other");
});

Deno.test("a deny by serial number holds also for a function whose number is out of sight", () => {
  const devices = `{ ssd: { match: { id: "1b36:0010", address: "${TWO}" } },
    lost: { match: { serial: "00-1b-21-ff-ff-a0-12-02" } } }`;
  const rest = `exports: [{ name: data, device: ssd, bar: 2, ${RULE} }]
deny: [{ device: lost, reason: it has been stolen }]`;
  assert.deepEqual(addresses(plan(devices, rest)), ["BG2013"]);
  // More than the header was read, so that nothing else is in the way.
  const config = serialConfig(2, 0x104);
  const blind = host([ssd(ONE, 1), ssd(TWO, 2, { config })]);
  assert.deepEqual(addresses(plan(devices, rest, blind)), ["BG2013"]);
  const elsewhere = devices.replace("a0-12-02", "a0-12-01");
  assert.deepEqual(addresses(plan(elsewhere, rest)), [TWO]);
});

Deno.test("a NUMA node singles devices out; a host that does not say has none", () => {
  assert.deepEqual(addresses(one(`{ id: "1b36:0010", numaNode: 0 }`)), [TWO]);
  assert.deepEqual(addresses(one(`{ id: "1b36:0010", numaNode: [1] }`)), ["BG2002"]);
  const { numaNode: _, ...silent } = ssd(ONE, 1);
  assert.deepEqual(addresses(one(`{ numaNode: [0, 1] }`, host([silent]))), ["BG2001"]);
});

Deno.test("of every list one item must hold", () => {
  const match = `{ id: ["1b36:0010", "ffff:ffff"], address: ["${ONE}", "0000:09:00.0"],
    class: ["0300", "0108"], serial: ["ff-ff-ff-ff-ff-ff-ff-ff", "00-1b-21-ff-ff-a0-12-01"],
    driver: [nvme, vfio-pci], numaNode: [1, 7], barSizes: { 2: [16KiB, 32KiB] } }`;
  assert.deepEqual(addresses(one(match)), [ONE]);
  assert.deepEqual(addresses(one(match.replace("32KiB", "64KiB"))), ["BG2031"]);
});

Deno.test("a device that is not there is told with what is almost it", () => {
  const match = `{ id: "1b36:0010", address: "${ONE}", serial: "00-1b-21-ff-ff-a0-12-02" }`;
  const [finding] = one(match).diagnostics;
  assert.equal(finding?.code, "BG2031");
  assert.match(
    finding.message,
    /0000:01:00\.0 is .* fits but for its serial \(00-1b-21-ff-ff-a0-12-01\)/,
  );
  assert.match(finding.message, /0000:02:00\.0 is .* fits but for its address \(0000:02:00\.0\)/);
});

Deno.test("many: each function that matches gets grants of its own, with names of their own", () => {
  const made = one(`{ id: "1b36:0010" }`, host(), ", many: true");
  assert.deepEqual(addresses(made), [ONE, TWO, THREE]);
  assert.deepEqual(made.grants.map((grant) => grant.export), [
    "demo/data@0000-01-00.0",
    "demo/data@0000-02-00.0",
    "demo/data@0000-03-00.0",
  ]);
  const single = one(`{ id: "1b36:0010", numaNode: 0 }`, host(), ", many: true");
  assert.deepEqual(single.grants.map((grant) => grant.export), ["demo/data@0000-02-00.0"]);
  const plain = one(`{ id: "1b36:0010", numaNode: 0 }`);
  assert.deepEqual(plain.grants.map((grant) => grant.export), ["demo/data"]);
});

Deno.test("many: one function that cannot be used spoils the plan, none at all is no device", () => {
  const native = host([ssd(ONE, 1), ssd(TWO, 2, { driver: "nvme" })]);
  assert.deepEqual(addresses(one(`{ id: "1b36:0010" }`, native, ", many: true")), ["BG2003"]);
  const chosen = one(`{ id: "1b36:0010", driver: vfio-pci }`, native, ", many: true");
  assert.deepEqual(addresses(chosen), [ONE]);
  assert.deepEqual(addresses(one(`{ id: "1b36:0011" }`, native, ", many: true")), ["BG2001"]);
});

const TWO_DEVICES = `{ all: { match: { id: "1b36:0010" }, many: true },
  slot: { match: { id: ["1b36:0010", "144d:a80a"], address: "${TWO}" } } }`;

function overlapping(more: readonly [string, string], length = "8KiB") {
  const [first, second] = more;
  return `exports:
  - { name: data, device: all, bar: 2, ${RULE}${first} }
  - { name: log, device: slot, bar: 2, slices: [{ offset: 4KiB, length: ${length} }], importers: [engine], collateral: device${second} }
`;
}

Deno.test("rules about one device by different matches share only if both say so", () => {
  const shared = ", shared: true";
  const [finding] = plan(TWO_DEVICES, overlapping(["", ""])).diagnostics;
  assert.equal(finding?.code, "BG2022");
  assert.equal(finding.message, `demo/log overlaps demo/data in BAR 2 of ${TWO}`);
  assert.deepEqual(finding.related?.map(({ line }) => line), [8]);
  assert.deepEqual(addresses(plan(TWO_DEVICES, overlapping([shared, ""]))), ["BG2022"]);
  assert.deepEqual(addresses(plan(TWO_DEVICES, overlapping(["", shared]))), ["BG2022"]);
  const both = plan(TWO_DEVICES, overlapping([shared, shared]));
  assert.deepEqual(both.grants.map((grant) => [grant.export, grant.device.address]), [
    ["demo/data@0000-01-00.0", ONE],
    ["demo/data@0000-02-00.0", TWO],
    ["demo/data@0000-03-00.0", THREE],
    ["demo/log", TWO],
  ]);
  const apart = overlapping(["", ""]).replace("offset: 4KiB", "offset: 8KiB");
  assert.deepEqual(plan(TWO_DEVICES, apart).diagnostics, []);
});

Deno.test("one device is not both opened and borrowed, nor borrowed from two", () => {
  const owner = (unit: string) => `acquire: borrow, owner: { unit: ${unit}.service }`;
  const rest = (revocation: readonly [string, string]) =>
    `exports:
  - { name: data, device: all, bar: 2, slices: [{ offset: 0, length: 4KiB }], importers: [engine]${
      revocation[0]
    } }
  - { name: log, device: slot, bar: 2, slices: [{ offset: 4KiB, length: 4KiB }], importers: [engine]${
      revocation[1]
    } }
`;
  const [open, cooperative] = [", collateral: device", ", revocation: cooperative"];
  const borrowed = TWO_DEVICES.replace("many: true", `many: true, ${owner("spdk")}`);
  assert.deepEqual(addresses(plan(borrowed, rest([cooperative, open]))), ["BG2023"]);
  const others = borrowed.replace(`"${TWO}" }`, `"${TWO}" }, ${owner("vmm")}`);
  assert.deepEqual(addresses(plan(others, rest([cooperative, cooperative]))), ["BG2023"]);
  const same = borrowed.replace(`"${TWO}" }`, `"${TWO}" }, ${owner("spdk")}`);
  assert.deepEqual(addresses(plan(same, rest([cooperative, cooperative]))), [ONE, TWO, THREE, TWO]);
});

const TWO_IMPORTERS = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  one: { match: { id: "1b36:0010", address: "${TWO}" } }
  two: { match: { iommuGroup: 2 } }
  gone: { match: { id: "144d:a80a", address: "0000:09:00.0" } }
importers:
  a: { identity: { user: nobody }, driver: iommufd }
  b: { identity: { user: other }, driver: iommufd }
exports:
  - { name: data, device: one, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [a], collateral: device }
  - { name: more, device: two, bar: 2, slices: [{ offset: 4KiB, length: 8KiB }], importers: [b], collateral: device }
  - { name: lost, device: gone, bar: 2, slices: [{ offset: 0, length: 4KiB }], importers: [b], collateral: device }
`;

function codesFor(importer: string, text = TWO_IMPORTERS) {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  const made = makePlan(set, host(), { importer });
  return [made.diagnostics.map(({ code }) => code), made.grants.map((grant) => grant.export)];
}

Deno.test("what two rules cannot have between them does not hang on whose grants are asked for", () => {
  assert.deepEqual(codesFor("a"), [["BG2022"], []]);
  assert.deepEqual(codesFor("demo/b"), [["BG2001", "BG2022"], []]);
  const borrowed = TWO_IMPORTERS.replace(
    "two: {",
    "two: { acquire: borrow, owner: { unit: x.service },",
  )
    .replace("importers: [b]", "importers: [b], revocation: cooperative");
  assert.deepEqual(codesFor("a", borrowed), [["BG2023", "BG2022"], []]);
});

Deno.test("of rules for other importers no more is told, and no grant is made", () => {
  const apart = TWO_IMPORTERS.replace("offset: 4KiB", "offset: 8KiB");
  assert.deepEqual(codesFor("a", apart), [[], ["demo/data"]]);
});

Deno.test("a function is one device, however often a list names it", () => {
  const twice = (more: string) => `{ all: { match: { ${more} } } }`;
  const one = host([ssd(ONE, 1)]);
  const ids = `id: ["1b36:0010", "1b36:0010"]`;
  const exports = `exports:\n  - { name: data, device: all, bar: 2, ${RULE} }\n`;
  assert.deepEqual(addresses(plan(twice(ids), exports, one)), [ONE]);
  const slots = `id: "1b36:0010", address: ["${TWO}", "${TWO}"]`;
  assert.deepEqual(addresses(plan(twice(slots), exports)), [TWO]);
  const many = plan(`{ all: { match: { ${ids} }, many: true } }`, exports);
  assert.deepEqual(addresses(many), [ONE, TWO, THREE]);
});

Deno.test("a function is found once where the match was made without a policy's text", () => {
  const at = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
  const { found } = new FunctionIndex(host()).matching({ id: ["1b36:0010", "1b36:0010"], at });
  assert.equal(found.length, 3);
});

Deno.test("functions that are almost a device are those that lack one field, whatever it is", () => {
  const functions = [1, 2, 3, 4, 5, 6, 7, 8].map((last) =>
    ssd(`0000:0${last}:00.0`, last % 3, {
      device: last % 2 === 0 ? "0010" : "0011",
      ...(last % 4 === 0 ? {} : { subsystem: `1af4:110${last % 3}` }),
      class: last < 5 ? "010802" : "020000",
      ...(last === 6 ? { config: serialConfig(0, 64) } : {}),
    })
  );
  const index = new FunctionIndex(host(functions));
  const at = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
  const [none, gone] = ["ffff:ffff", "0000:09:00.0"];
  const values = {
    address: [undefined, ["0000:02:00.0"], [gone], ["0000:06:00.0", gone]],
    id: [undefined, ["1b36:0010"], [none], [none, "1b36:0011"]],
    subsystem: [undefined, ["1af4:1101"], [none]],
    serial: [undefined, ["00-1b-21-ff-ff-a0-12-01"], ["00-00-00-00-00-00-00-00"]],
    class: [undefined, ["0108"], ["0300"]],
  };
  let some = 0;
  for (const address of values.address) {
    for (const id of values.id) {
      for (const subsystem of values.subsystem) {
        for (const serial of values.serial) {
          for (const classes of values.class) {
            const match = {
              ...(address === undefined ? {} : { address }),
              ...(id === undefined ? {} : { id }),
              ...(subsystem === undefined ? {} : { subsystem }),
              ...(serial === undefined ? {} : { serial }),
              ...(classes === undefined ? {} : { class: classes }),
              at,
            };
            const telling = Object.keys(match).filter((key) => key !== "class" && key !== "at");
            const wanted = functions.filter((entry) => {
              const [lacks, another] = mismatches(entry, match);
              return lacks !== undefined && another === undefined &&
                telling.some((field) => field !== lacks.field);
            });
            const found = [...index.nearly(match)].map(({ entry }) => entry.address);
            assert.deepEqual(found.toSorted(), wanted.map((entry) => entry.address));
            some += found.length;
          }
        }
      }
    }
  }
  assert.ok(some > 100, `${some}`);
});
