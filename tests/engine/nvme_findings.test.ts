/** What slices of NVMe controllers hold, by what a host is known to have. */
import assert from "node:assert/strict";
import { makePlan } from "../../engine/plan.ts";
import { preflight } from "../../engine/preflight/preflight.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { host, nvme, policy, type Rule, SSD } from "./planning.ts";

const BIG_BAR: SnapshotFunction["bars"] = nvme(SSD).bars.map((bar) =>
  bar.index === 0 ? { ...bar, start: 0x9_0000_0000n, size: 0x20_0000n } : bar
);

function told(rule: Rule, more: Partial<SnapshotFunction> = {}): string[] {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text: policy(rule) }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  const on = host([nvme(SSD, { bars: BIG_BAR, ...more })]);
  const plan = makePlan(set, on);
  assert.equal(plan.grants.length, 1, JSON.stringify(plan.diagnostics));
  const before = preflight(set, on);
  assert.equal(before.ready, true);
  assert.deepEqual(before.diagnostics.map(({ code }) => code), plan.diagnostics.map((d) => d.code));
  for (const { code, severity } of plan.diagnostics) {
    assert.equal(severity, code === "BG2058" ? "note" : "warning");
  }
  return plan.diagnostics.map(({ code, message }) => `${code} ${message}`);
}

const slices = (offset: string, length: string) => `{ offset: ${offset}, length: ${length} }`;

Deno.test("registers and doorbells do not leave by plain slices without a word", () => {
  const of = (offset: string, length: string, more: Partial<SnapshotFunction> = {}) =>
    told({ bar: 0, slices: slices(offset, length) }, more);
  const [both, ...rest] = of("0", "8KiB");
  assert.deepEqual(rest, []);
  assert.match(both ?? "", /^BG2055 the slice \[0x0, 0x2000\) of BAR 0 .*0000:01:00\.0 /);
  assert.match(both ?? "", /registers \(below 0x1000\).* and doorbells \(from 0x1000 on/);
  assert.match(of("0", "4KiB")[0] ?? "", /registers/);
  assert.doesNotMatch(of("0", "4KiB")[0] ?? "", /doorbells/);
  assert.match(of("4KiB", "4KiB")[0] ?? "", /holds doorbells/);
  assert.doesNotMatch(of("4KiB", "4KiB")[0] ?? "", /registers/);
  assert.match(of("1MiB", "4KiB")[0] ?? "", /BG2055/);
  assert.deepEqual(of("0", "8KiB", { class: "020000" }), [], "no NVMe controller");
});

Deno.test("a memory buffer in BAR 0 is none of the controller's doorbells", () => {
  const controllerMemory = {
    state: "enabled",
    bar: 0,
    offset: 0x10_0000n,
    size: 0x8_0000n,
  } as const;
  const of = (offset: string, length: string) =>
    told({ bar: 0, slices: slices(offset, length) }, { controllerMemory });
  assert.deepEqual(of("1MiB", "512KiB"), []);
  assert.match(of("1MiB", "516KiB")[0] ?? "", /BG2055/);
});

Deno.test("a rule of many slices, for many importers, is told of once", () => {
  const many = `${slices("8MiB", "4KiB")}, ${slices("0", "4KiB")}, ${slices("12MiB", "4KiB")}`;
  const text = policy({
    slices: many,
    driver: "mlx5",
    more: "    collateral: device\n    shared: true\n",
  })
    .replace("importers: {", "importers: { other: { identity: { user: games }, driver: mlx5 },")
    .replace("[engine]", "[engine, other]");
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  const made = makePlan(set, host([nvme(SSD, { controllerMemory: { state: "none" } })]));
  assert.equal(made.grants.length, 2);
  const [found, ...rest] = made.diagnostics.filter(({ code }) => code === "BG2056");
  assert.deepEqual(rest, []);
  assert.match(found?.message ?? "", /\[0x800000, 0x801000\) of BAR 2 .*and 2 more of the rule/);
});

Deno.test("slices that the controller says to be no memory buffer are told", () => {
  const at = (offset: bigint, size: bigint, bar = 2) => ({ bar, offset, size });
  const whole = { slices: slices("0", "rest") };
  const cases: readonly [string, Partial<SnapshotFunction>, RegExp | undefined][] = [
    ["nobody asked", {}, undefined],
    ["none", { controllerMemory: { state: "none" } }, /is no memory buffer: .* has none/],
    ["not enabled", { controllerMemory: { state: "disabled" } }, /does not say where/],
    [
      "not enabled, of a known place",
      { controllerMemory: { state: "disabled", ...at(0n, 0x100_0000n) } },
      /is in the memory buffer .*which is not enabled/,
    ],
    ["all of it", { controllerMemory: { state: "enabled", ...at(0n, 0x100_0000n) } }, undefined],
    [
      "more than it",
      { controllerMemory: { state: "enabled", ...at(0x80_0000n, 0x80_0000n) } },
      /is not in the memory buffer, which is \[0x800000, 0x1000000\) of BAR 2/,
    ],
    [
      "another BAR",
      { controllerMemory: { state: "enabled", ...at(0n, 0x1000n, 4) } },
      /which is \[0x0, 0x1000\) of BAR 4/,
    ],
    [
      "persistent",
      { controllerMemory: { state: "none" }, persistentMemory: { state: "enabled", bar: 2 } },
      /is of its persistent memory region, which is enabled/,
    ],
    [
      "persistent, elsewhere",
      {
        controllerMemory: { state: "enabled", ...at(0n, 0x100_0000n) },
        persistentMemory: { state: "enabled", bar: 4 },
      },
      undefined,
    ],
  ];
  for (const [what, facts, expected] of cases) {
    const found = told(whole, facts);
    assert.equal(found.length, expected === undefined ? 0 : 1, `${what}: ${found}`);
    if (expected !== undefined) assert.match(found[0] ?? "", expected, what);
    if (expected !== undefined) assert.match(found[0] ?? "", /^BG2056 the slice \[0x0, /, what);
  }
});

Deno.test("the region is where the controller says, and needs no warning", () => {
  const controllerMemory = {
    state: "enabled",
    bar: 2,
    offset: 0x1000n,
    size: 0x10_0000n,
  } as const;
  const text = policy().replace(/slices: .*/, "region: nvme.cmb");
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  assert.deepEqual(makePlan(set, host([nvme(SSD, { controllerMemory })])).diagnostics, []);
});

Deno.test("what validate has said of a controller by its class, plan does not say again", () => {
  const text = (offset: string, kind: string) =>
    policy({
      match: `{ id: "1b36:0010", class: ${kind} }`,
      bar: 0,
      slices: slices(offset, "4KiB"),
    });
  const both = (offset: string, kind: string) => {
    const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text: text(offset, kind) }]);
    assert.ok(set !== undefined, JSON.stringify(diagnostics));
    const plan = makePlan(set, host([nvme(SSD, { bars: BIG_BAR })]));
    return [...diagnostics, ...plan.diagnostics].map(({ code }) => code);
  };
  assert.deepEqual(both("0", `"010802"`), ["BG1413"]);
  assert.deepEqual(both("4KiB", `["0108", "010802"]`), ["BG1413"]);
  assert.deepEqual(both("1MiB", `"010802"`), ["BG2055"]);
  assert.deepEqual(both("0", `"01"`), ["BG2055"]);
  assert.deepEqual(both("0", `["0108", "02"]`), ["BG2055"]);
});

Deno.test("pages of MSI-X structures that may leave are no doorbells", () => {
  const more = "    allowProtected: [{ range: msix-table, reason: emulation }]\n";
  assert.ok(!told({ bar: 0, slices: slices("8KiB", "4KiB"), more }).join().includes("BG2055"));
  const both =
    "    allowProtected: [{ range: msix-table, reason: a }, { range: msix-pba, reason: b }]\n";
  const of = (length: string) =>
    told({ bar: 0, slices: slices("8KiB", length), more: both }).join();
  assert.ok(!of("8KiB").includes("BG2055"), of("8KiB"));
  assert.ok(of("12KiB").includes("BG2055"), of("12KiB"));
});
