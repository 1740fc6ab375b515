/** A plan that is a file, held against the plan of now. @module */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import { ioctlsOf } from "../../cmd/plan_bytes.ts";
import { planPieces } from "../../cmd/plan_text.ts";
import { makePlan } from "../../engine/plan.ts";
import { driftOf, MAX_DIFFERENCES } from "../../engine/plan_drift.ts";
import { MAX_PLAN_BYTES, planDiagnostics, readPlanHead } from "../../engine/plan_file.ts";
import { planJson } from "../../engine/plan_json.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);
const SSD = "0000:01:00.0";
const POLICY = Deno.readTextFileSync(new URL("policies/cmb-to-edu.yaml", EXAMPLES));

/** The same device, of another process. */
const BORROWED = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lent }
devices:
  ssd: { match: { address: "${SSD}", id: "1b36:0010" }, acquire: borrow, owner: { unit: tgt.service } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 4KiB, length: 8KiB }], importers: [engine], revocation: cooperative }
`;

function laboratory(): HostSnapshot {
  const { snapshot } = parseSnapshot(
    Deno.readFileSync(new URL("hosts/laboratory.json", EXAMPLES)),
  );
  assert.ok(snapshot !== undefined);
  return snapshot;
}

const HOST = laboratory();

function plan(host: HostSnapshot, text = POLICY) {
  const { set } = loadPolicySet([{ file: "p.yaml", text }]);
  assert.ok(set !== undefined);
  return makePlan(set, host);
}

function jsonOf(host: HostSnapshot, text = POLICY): unknown {
  return planJson(plan(host, text), ioctlsOf);
}

const encode = (text: string) => new TextEncoder().encode(text);
const FILE = encode(planPieces(plan(HOST), {}).join(""));

/** The host with another SSD. */
function withSsd(change: (entry: SnapshotFunction) => SnapshotFunction): HostSnapshot {
  const functions = HOST.functions.map((entry) => entry.address === SSD ? change(entry) : entry);
  return { ...HOST, functions };
}

function changed(host: HostSnapshot): string[] {
  return driftOf(FILE, jsonOf(host)).map(({ code, pointer }) => `${code} ${pointer}`);
}

Deno.test("a host that has not changed is not told as drifted, however the file is laid out", () => {
  assert.deepEqual(driftOf(FILE, jsonOf(HOST)), []);
  const dense = encode(JSON.stringify(JSON.parse(new TextDecoder().decode(FILE))));
  assert.deepEqual(driftOf(dense, jsonOf(HOST)), []);
});

Deno.test("where the facts came from, and what policies are warned of, is no drift", () => {
  const value = JSON.parse(new TextDecoder().decode(FILE));
  const warning = { code: "BG1803", severity: "warning", message: "x", file: "/elsewhere/p.yaml" };
  const other = { ...value, inventory: "host.json", diagnostics: [warning] };
  assert.deepEqual(driftOf(encode(JSON.stringify(other)), jsonOf(HOST)), []);
});

Deno.test("a finding about the host that was not there, or is gone, is drift", () => {
  const value = JSON.parse(new TextDecoder().decode(FILE));
  const finding = { code: "BG2999", severity: "warning", message: "the way is long", line: 3 };
  const withFinding = { ...value, diagnostics: [finding] };
  const [gone] = driftOf(encode(JSON.stringify(withFinding)), jsonOf(HOST));
  assert.match(gone?.message ?? "", /a finding of then is gone: warning BG2999, the way is long/);
  const [fresh] = driftOf(FILE, withFinding);
  assert.match(fresh?.message ?? "", /finding was not there: warning BG2999, the way is long/);
  assert.deepEqual(driftOf(encode(JSON.stringify(withFinding)), withFinding), []);
});

Deno.test("a plan with thousands of findings has not drifted from itself", () => {
  const value = JSON.parse(new TextDecoder().decode(FILE));
  const finding = (at: number) => {
    return { code: "BG2204", severity: "note", message: `way ${at}` };
  };
  const many = (count: number) => ({
    ...value,
    diagnostics: Array.from({ length: count }, (_, at) => finding(at)),
  });
  const file = encode(JSON.stringify(many(30_000)));
  assert.deepEqual(driftOf(file, many(30_000)), []);
  const fresh = driftOf(file, many(30_001));
  assert.deepEqual(fresh.map(({ code }) => code), ["BG2311"]);
  assert.match(fresh[0]?.message ?? "", /finding was not there: note BG2204, way 30000/);
  const gone = driftOf(file, many(29_999));
  assert.deepEqual(gone.map(({ code }) => code), ["BG2311"]);
  assert.match(gone[0]?.message ?? "", /of then is gone: note BG2204, way 29999/);
});

Deno.test("a name that stands twice is told, also where only some of it counts", () => {
  const now = jsonOf(HOST);
  const text = new TextDecoder().decode(FILE);
  const item = `{"code":"BG1803","code":"BG1803","line":1,"line":2}`;
  const twice: readonly (readonly [string, readonly string[]])[] = [
    [text.replace('"diagnostics": []', `"diagnostics": [${item}]`), [
      "/diagnostics/0/code",
      "/diagnostics/0/line",
    ]],
    [text.replace('"diagnostics": []', `"diagnostics": [], "diagnostics": []`), ["/diagnostics"]],
    [text.replace('"grants"', `"inventory": "a", "inventory": "b", "grants"`), ["/inventory"]],
  ];
  for (const [file, pointers] of twice) {
    const found = driftOf(encode(file), now);
    assert.deepEqual(found.map(({ code }) => code), pointers.map(() => "BG2306"), file);
    assert.deepEqual(found.map(({ pointer }) => pointer), pointers);
  }
});

Deno.test("what has changed on the host is told, with where and both values", () => {
  const { functions } = HOST;
  const ssd = functions.find(({ address }) => address === SSD);
  assert.ok(ssd !== undefined);
  const renamed = withSsd((entry) => ({ ...entry, cdev: "/dev/vfio/devices/vfio77" }));
  const findings = driftOf(FILE, jsonOf(renamed));
  assert.equal(
    findings[0]?.message,
    `Cannot export by the plan: /grants/0/device/node (cmb-to-edu/cmb-data of ${SSD}) was planned as "${ssd.cdev}", and is "/dev/vfio/devices/vfio77" now`,
  );
  assert.ok(findings.length <= 3, "one fact is told once, wherever it stands");
  const larger = withSsd((entry) => ({
    ...entry,
    bars: entry.bars.map((bar) => bar.index === 2 ? { ...bar, size: bar.size * 2n } : bar),
  }));
  assert.deepEqual(changed(larger), ["BG2311 /grants/0/device/barSizes/1/size", "BG2312 "]);
  const moved = withSsd((entry) => {
    const config = entry.config.slice();
    const capability = msixAt(config);
    config[capability + 5] = 0x10;
    return { ...entry, config };
  });
  assert.deepEqual(changed(moved).slice(0, 1), [
    "BG2311 /grants/0/device/protectedRanges/0/offset",
  ]);
  assert.deepEqual(changed({ ...HOST, kernel: { release: "7.9.0" } }), ["BG2311 /host/release"]);
  const unbound = withSsd(({ driver: _, ...entry }) => entry);
  const gone = changed(unbound);
  assert.deepEqual(gone.slice(0, 2), ["BG2311 /grants/0", "BG2311 /runs/0"]);
  assert.match(gone[2] ?? "", /BG2311 \/diagnostics/);
});

Deno.test("another device in the same place is drift, opened or borrowed", () => {
  const serial = (last: number, entry: SnapshotFunction) => {
    const config = new Uint8Array(4096);
    config.set(entry.config);
    const view = new DataView(config.buffer);
    [0x0001_0003, last, 0x001b_21ff].forEach((value, at) =>
      view.setUint32(0x100 + 4 * at, value, true)
    );
    return { ...entry, config };
  };
  const msix = (entry: SnapshotFunction) => {
    const config = entry.config.slice();
    config[msixAt(config) + 5] = 0x10;
    return { ...entry, config };
  };
  const changes: readonly (readonly [string, (entry: SnapshotFunction) => SnapshotFunction])[] = [
    ["serial", (entry) => serial(2, entry)],
    ["subsystem", (entry) => ({ ...entry, subsystem: "dead:beef" })],
    ["class", (entry) => ({ ...entry, class: "ff0000" })],
    ["protectedRanges/0/offset", msix],
    ["barSizes/0/size", (entry) => ({
      ...entry,
      bars: entry.bars.map((bar) => bar.index === 0 ? { ...bar, size: bar.size * 2n } : bar),
    })],
  ];
  const before = withSsd((entry) => serial(1, entry));
  for (const policy of [POLICY, BORROWED]) {
    const file = encode(JSON.stringify(jsonOf(before, policy)));
    assert.deepEqual(driftOf(file, jsonOf(before, policy)), []);
    for (const [field, change] of changes) {
      const now = withSsd((entry) => change(serial(1, entry)));
      const [first] = driftOf(file, jsonOf(now, policy));
      assert.equal(first?.pointer, `/grants/0/device/${field}`);
    }
  }
});

function msixAt(config: Uint8Array): number {
  let at = config[0x34] ?? 0;
  while (at !== 0 && config[at] !== 0x11) at = config[at + 1] ?? 0;
  return at;
}

/** A place in a JSON value. */
type Path = readonly (string | number)[];

function places(value: unknown, path: Path = []): Path[] {
  const below = Array.isArray(value)
    ? value.flatMap((each, index) => places(each, [...path, index]))
    : typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, each]) => places(each, [...path, key]))
    : [];
  return [path, ...below];
}

/** What is compared elsewhere, or not at all. */
const LEFT_OUT = new Set(["options", "policy", "diagnostics"]);
const PLACES = places(JSON.parse(new TextDecoder().decode(FILE)))
  .filter(([first]) => !LEFT_OUT.has(String(first)));

function put(value: unknown, [key, ...rest]: Path, make: (old: unknown) => unknown): unknown {
  if (key === undefined) return make(value);
  if (Array.isArray(value)) {
    return value.flatMap((each, index) => {
      const next = index === key ? put(each, rest, make) : each;
      return next === undefined ? [] : [next];
    });
  }
  return { ...value as object, [key]: put((value as Record<string, unknown>)[key], rest, make) };
}

Deno.test("whatever is changed in the file is told", () => {
  const value = JSON.parse(new TextDecoder().decode(FILE));
  const now = jsonOf(HOST);
  const others = fc.oneof(fc.jsonValue(), fc.constant(undefined));
  fc.assert(fc.property(fc.constantFrom(...PLACES), others, (path, other) => {
    const text = JSON.stringify(put(value, path, () => other) ?? null);
    if (text === JSON.stringify(value)) return;
    const drift = driftOf(encode(text), now);
    assert.ok(drift.length > 0, path.join("/"));
    assert.ok(drift.length <= MAX_DIFFERENCES + 1);
  }));
});

Deno.test("a field more in the file is told, and one twice", () => {
  const text = new TextDecoder().decode(FILE);
  const more = text.replace('"slices":', '"more": true, "slices":');
  const [added] = driftOf(encode(more), jsonOf(HOST));
  assert.equal(added?.pointer, "/grants/0/more");
  assert.match(added?.message ?? "", /was planned as true, and is nothing now/);
  const twice = text.replace('"access":', '"access": 3, "access":');
  assert.deepEqual(driftOf(encode(twice), jsonOf(HOST)).map(({ code }) => code), [
    "BG2311",
    "BG2306",
  ]);
});

function headCodes(bytes: Uint8Array): string[] {
  const { head, findings } = readPlanHead(bytes);
  assert.equal(head === undefined, findings.length > 0);
  return findings.map(({ code }) => code);
}

Deno.test("a file that is no plan is refused, each with its code", () => {
  const text = new TextDecoder().decode(FILE);
  const cases: readonly (readonly [string, readonly string[]])[] = [
    [text, []],
    ["", ["BG2301"]],
    ["{", ["BG2301"]],
    [`${text}x`, ["BG2301"]],
    ["[]", ["BG2307"]],
    ["{}", ["BG2305", "BG2305", "BG2305", "BG2305"]],
    ["[".repeat(40), ["BG2307", "BG2303"]],
    [text.replace("bargate/v1", "bargate/v2"), ["BG2304"]],
    [text.replace("ExportPlan", "HostSnapshot"), ["BG2304"]],
    [text.replace('"policy": "', '"policy": 1, "x": "'), ["BG2307"]],
    [text.replace('"options": {}', '"options": []'), ["BG2307"]],
    [text.replace('"options": {}', '"options": {"importer": "x", "\\u0069mporter": "a"}'), [
      "BG2306",
    ]],
    [text.replace('"policy":', '"policy": "sha256:0", "policy":'), ["BG2306"]],
    [`\ufeff${text}`, ["BG2302"]],
  ];
  for (const [file, codes] of cases) {
    assert.deepEqual(headCodes(encode(file)), codes, file.slice(0, 60));
  }
  assert.deepEqual(headCodes(new Uint8Array(MAX_PLAN_BYTES + 1)), ["BG2303"]);
  assert.deepEqual(
    headCodes(new Uint8Array([...encode('{"policy":"'), 0xff, ...encode('"}')])).slice(0, 1),
    ["BG2302"],
  );
});

Deno.test("no bytes make it throw, and every finding has its place", () => {
  const now = jsonOf(HOST);
  const cut = fc.nat(FILE.length).map((length) => FILE.slice(0, length));
  const spoiled = fc.tuple(fc.nat(FILE.length - 1), fc.nat(255)).map(([at, byte]) => {
    const bytes = FILE.slice();
    bytes[at] = byte;
    return bytes;
  });
  fc.assert(fc.property(fc.oneof(fc.uint8Array(), cut, spoiled), (bytes) => {
    const findings = [...readPlanHead(bytes).findings, ...driftOf(bytes, now)];
    const told = planDiagnostics(findings, "plan.json", bytes);
    assert.equal(told.length, findings.length);
    for (const { line, column, code } of told) {
      assert.ok((line ?? 0) >= 1 && (column ?? 0) >= 1 && code.startsWith("BG23"));
    }
  }));
});

Deno.test("policies of one digest make one plan, in whichever order they are written", () => {
  const written = (
    { importers, exports, ids, given }: Record<
      "importers" | "exports" | "ids" | "given",
      readonly string[]
    >,
  ) =>
    `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: p }
devices: { ssd: { match: { id: "1b36:0010", address: [${ids.join(", ")}] }, many: true } }
importers:
${importers.map((name) => `  ${name}: { identity: { user: ${name} }, driver: iommufd }`).join("\n")}
exports:
${exports.map((rule) => `  - { ${rule}, device: ssd, bar: 2, collateral: device }`).join("\n")}
`.replace("GIVEN", given.join(", "));
  const rules = {
    importers: ["daemon", "nobody"],
    exports: [
      "name: a, importers: [GIVEN], shared: true, slices: [{ offset: 0, length: 4KiB }]",
      "name: b, importers: [nobody], slices: [{ offset: 1MiB, length: 4KiB }]",
    ],
    ids: [`"${SSD}"`, `"0000:0b:00.0"`],
    given: ["daemon", "nobody"],
  };
  const twin = { ...HOST.functions.find(({ address }) => address === SSD) } as SnapshotFunction;
  const host = { ...HOST, functions: [...HOST.functions, { ...twin, address: "0000:0b:00.0" }] };
  const base = plan(host, written(rules));
  assert.equal(base.grants.length, 6, JSON.stringify(base.diagnostics));
  const steps = (made: typeof base) => {
    const { grants, runs } = planJson(made, ioctlsOf);
    return JSON.stringify({ grants, runs });
  };
  for (const part of Object.keys(rules) as (keyof typeof rules)[]) {
    const other = plan(host, written({ ...rules, [part]: rules[part].toReversed() }));
    assert.equal(other.policy, base.policy, part);
    assert.equal(steps(other), steps(base), part);
  }
});
