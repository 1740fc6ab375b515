/** On what denies fall, and what is said of those that fall on nothing. */
import assert from "node:assert/strict";
import { makePlan } from "../../engine/plan.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy, SSD } from "./planning.ts";

const OTHER = "0000:05:00.0";

function guard(match: string): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: guard }
devices: { lost: { match: ${match} } }
deny: [{ device: lost, bar: 2, reason: it holds keys }]
`;
}

function planOf(match: string, on: HostSnapshot = host()) {
  const { set, diagnostics } = loadPolicySet([
    { file: "p.yaml", text: policy() },
    { file: "guard.yaml", text: guard(match) },
  ]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return makePlan(set, on);
}

function withSerial(last: number): Uint8Array {
  const config = new Uint8Array(4096);
  config.set(nvme(SSD).config);
  const view = new DataView(config.buffer);
  view.setUint32(0x100, 0x0001_0003, true);
  view.setUint32(0x104, 0xffa0_1200 + last, true);
  view.setUint32(0x108, 0x001b_21ff, true);
  return config;
}

function codes({ diagnostics }: ReturnType<typeof makePlan>) {
  return diagnostics.map(({ code, severity }) => `${code} ${severity}`);
}

Deno.test("a deny whose device has moved, is bound anew or has another serial number is told", () => {
  const on = host([nvme(SSD, { config: withSerial(1) })]);
  const drifted = {
    [`{ id: "1b36:0010", address: "${OTHER}" }`]: /0000:01:00\.0 .* but for its address/,
    [`{ id: "1b36:0010", driver: nvme }`]: /0000:01:00\.0 .* driver \(vfio-pci\)/,
    [`{ id: "1b36:0010", serial: "00-1b-21-ff-ff-a0-12-02" }`]: /serial \(00-1b-.*-01\)/,
    [`{ class: "0108", address: "${OTHER}", driver: nvme }`]: /address .*, driver/,
    [`{ address: "${SSD}", serial: "00-1b-21-ff-ff-a0-12-02" }`]: /but for its serial/,
  };
  for (const [match, near] of Object.entries(drifted)) {
    const made = planOf(match, on);
    assert.deepEqual(codes(made), ["BG2050 warning"], match);
    const [found] = made.diagnostics;
    assert.deepEqual([found?.file, found?.line], ["guard.yaml", 5], "at the deny");
    assert.match(found?.message ?? "", /"guard\/lost"/);
    assert.match(found?.message ?? "", near);
    assert.equal(made.grants.length, 1, "which is no error by itself");
  }
});

Deno.test("a deny that is for other hosts, and one that falls on its device, are no news", () => {
  for (
    const match of [
      `{ id: "ffff:0001", address: "${SSD}" }`,
      `{ id: "1b36:0010", class: "0300" }`,
      `{ serial: "00-1b-21-ff-ff-a0-12-02" }`,
      `{ address: "${OTHER}", class: "0300" }`,
    ]
  ) {
    assert.deepEqual(codes(planOf(match, host([nvme(SSD, { config: withSerial(1) })]))), [], match);
  }
  assert.deepEqual(codes(planOf(`{ class: "0108" }`)), ["BG2013 error"]);
});

Deno.test("a deny falls on a function whose field could not be read, whichever it is", () => {
  const values = { numaNode: "1", iommuGroup: "7", subsystem: `"1af4:0001"`, driver: "nvme" };
  for (const [field, value] of Object.entries(values)) {
    const match = `{ id: "1b36:0010", ${field}: ${value} }`;
    const { [field as keyof typeof values]: _, ...silent } = nvme(SSD);
    const blind = { ...silent, unreadable: [{ field, right: "CAP_DAC_READ_SEARCH" }] };
    assert.deepEqual(planOf(match, host([blind])).grants, [], field);
    assert.ok(codes(planOf(match, host([silent]))).includes("BG2050 warning"), `${field}: none`);
    const other = match.replace("1b36:0010", "1b36:0011");
    assert.ok(!codes(planOf(other, host([blind]))).includes("BG2013 error"), field);
  }
  const numa = host([nvme(SSD, { unreadable: [{ field: "numaNode", right: "CAP_X" }] })]);
  const [denied] = planOf(`{ id: "1b36:0010", numaNode: 1 }`, numa).diagnostics;
  assert.equal(denied?.code, "BG2013");
  assert.match(denied.message, /which may be the device that is meant: its NUMA node is not known/);
});

Deno.test("a deny by serial number falls on a function that does not say which it has", () => {
  const silent = withSerial(1).fill(0xff, 0x100);
  const match = `{ id: "1b36:0010", serial: "00-1b-21-ff-ff-a0-12-02" }`;
  const { diagnostics, grants } = planOf(match, host([nvme(SSD, { config: silent })]));
  assert.deepEqual(grants, []);
  assert.deepEqual(diagnostics.map(({ code }) => code), ["BG2013"]);
  assert.match(diagnostics[0]?.message ?? "", /its serial number is not known, .* makes no sense/);
});

Deno.test("a deny by BAR sizes falls on a function whose BARs could not be read, but for those that were", () => {
  const bars = nvme(SSD).bars.filter(({ index }) => index < 4);
  const unreadable = [{ field: "bars", right: "CAP_SYS_ADMIN" }];
  const [seen, blind] = [host([nvme(SSD, { bars })]), host([nvme(SSD, { bars, unreadable })])];
  const by = (sizes: string, on: HostSnapshot) => {
    const made = planOf(`{ id: "1b36:0010", barSizes: { ${sizes} } }`, on);
    return [codes(made)[0], made.grants.length];
  };
  assert.deepEqual(by("4: 1MiB", blind), ["BG2013 error", 0]);
  assert.deepEqual(by("2: 16MiB, 4: 1MiB", blind), ["BG2013 error", 0]);
  assert.deepEqual(by("4: 1MiB", seen), ["BG2050 warning", 1]);
  assert.deepEqual(by("2: 32MiB, 4: 1MiB", blind)[1], 1, "what was read decides");
  const { diagnostics } = planOf(`{ id: "1b36:0010", barSizes: { 4: 1MiB } }`, blind);
  assert.match(
    diagnostics[0]?.message ?? "",
    /its BAR sizes are not known, for they could not be read; .* CAP_SYS_ADMIN/,
  );
});

Deno.test("of an export, a field that could not be read is no match, and plan says which", () => {
  const unreadable = [{ field: "numaNode", right: "CAP_DAC_READ_SEARCH" }];
  const text = policy({ match: `{ id: "1b36:0010", numaNode: 0 }` });
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  const [found] = makePlan(set, host([nvme(SSD, { unreadable })])).diagnostics;
  assert.equal(found?.code, "BG2021");
  assert.match(found.message, /its NUMA node is not known, .* needs CAP_DAC_READ_SEARCH/);
});
