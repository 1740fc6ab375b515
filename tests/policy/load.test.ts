import assert from "node:assert/strict";
import fc from "fast-check";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Severity } from "../../policy/diagnostic.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { linesOf } from "../../cmd/output/frame.ts";
import { runs } from "../support/runs.ts";

const HEAD = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: NAME }
devices:
  ssd: { match: { id: "1b36:0010" } }
importers:
  engine: { identity: { user: nobody }, driver: mlx5 }
exports:
`;

function policy(name: string, ...slices: readonly string[]): string {
  const rules = slices.map((slice, index) =>
    `  - { name: e${index}, device: ssd, bar: 2, slices: [${slice}], importers: [engine], collateral: device }\n`
  );
  return HEAD.replace("NAME", name) + rules.join("");
}

function load(...texts: readonly string[]) {
  return loadPolicySet(texts.map((text, index) => ({ file: `${index}.yaml`, text })));
}

function places(diagnostics: readonly Diagnostic[]): readonly string[] {
  return diagnostics.map((d) => `${d.code} ${d.file}:${d.line}:${d.column}`);
}

Deno.test("loadPolicySet() gives the model that is written", () => {
  const slices = "{ offset: 0x1000, length: 4KiB }, { offset: 8KiB, length: rest }";
  const { set, exports, files } = load(policy("demo", slices));
  const rule = set?.policies[0]?.exports[0];
  assert.equal(rule?.qualifiedName, "demo/e0");
  assert.deepEqual(rule?.slices.map(({ offset, length }) => [offset, length]), [[4096n, "rest"]]);
  assert.equal(rule?.graceMs, 2000);
  assert.equal(rule?.onReset, "revoke");
  assert.equal(rule?.access, "read-write");
  assert.equal("expiresMs" in (rule ?? {}), false);
  assert.deepEqual(rule?.device.at, {
    file: "0.yaml",
    line: 9,
    column: 25,
    endLine: 9,
    endColumn: 28,
  });
  assert.deepEqual([exports, files], [1, 1]);
});

Deno.test("loadPolicySet() tells all errors of all files in order of files and places", () => {
  const first = policy("a", "{ offset: 1, length: 8MB }", "{ offset: 0, length: 0 }");
  const second = policy("b", "{ offset: 0, length: 4KiB }") + "surplus: 1\n";
  const { set, diagnostics } = load(first, "{", second);
  assert.equal(set, undefined);
  assert.deepEqual(places(diagnostics), [
    "BG1401 0.yaml:9:57",
    "BG1201 0.yaml:9:68",
    "BG1403 0.yaml:10:68",
    "BG1004 1.yaml:1:2",
    "BG1101 2.yaml:10:1",
  ]);
});

Deno.test("loadPolicySet() has a set if and only if there is no error", () => {
  const warning = policy("a", "{ offset: 0, length: 4KiB }").replace(
    "importers:\n",
    "importers:\n  spare: { identity: { user: daemon }, driver: xe }\n",
  );
  const result = load(warning);
  assert.deepEqual(result.diagnostics.map((d) => d.severity), ["warning"]);
  assert.ok(result.set);
});

Deno.test("loadPolicySet() shows both places of an overlap and of a deny", () => {
  const overlap = load(
    policy("a", "{ offset: 0, length: 8KiB }, { offset: 4KiB, length: 4KiB }"),
  ).diagnostics[0];
  assert.deepEqual(overlap?.related?.map((r) => [r.file, r.line, r.column]), [["0.yaml", 9, 47]]);
  const denied = load(
    policy("a", "{ offset: 0, length: 8KiB }"),
    HEAD.replace("NAME", "b").split("importers:")[0] +
      "deny:\n  - { device: ssd, bar: 2, slices: [{ offset: 0, length: 1 }], reason: kept }\n",
  ).diagnostics[0];
  assert.equal(denied?.code, "BG1406");
  assert.deepEqual(denied?.related?.map((r) => [r.file, r.line, r.column]), [["1.yaml", 7, 37]]);
});

Deno.test("loadPolicySet() says whether the page size was assumed", () => {
  const text = policy("a", "{ offset: 4KiB, length: 64KiB }");
  const given = loadPolicySet([{ file: "a", text }], { pageSize: 65536 }).diagnostics[0];
  assert.match(given?.message ?? "", /page size 64KiB \(/);
  const assumed = load(policy("a", "{ offset: 1, length: 64KiB }")).diagnostics[0];
  assert.match(assumed?.message ?? "", /page size 4KiB, assumed/);
  for (const pageSize of [0, 2048, 5000, 8192.5, NaN]) {
    assert.throws(() => loadPolicySet([], { pageSize }), RangeError);
  }
});

Deno.test("the digest is of the meaning, not of the text", () => {
  const digest = (...texts: readonly string[]) => load(...texts).set?.digest;
  const [a, b] = ["{ offset: 0, length: 8KiB }", "{ offset: 1MiB, length: 4KiB }"];
  const plain = digest(policy("a", a, b));
  assert.match(plain ?? "", /^sha256:[0-9a-f]{64}$/);
  const [head, first, second] = policy("a", a, b).split(/^(?= {2}- )/m);
  assert.equal(digest(`${head}${second}${first}`), plain, "order of rules");
  assert.equal(digest(`# note\n${policy("a", a.replace("8KiB", "0x2000"), b)}`), plain, "spelling");
  assert.notEqual(digest(policy("a", a, b.replace("4KiB", "8KiB"))), plain, "a length");
  assert.notEqual(digest(policy("b", a, b)), plain, "the name");
  const layout = (...slices: readonly string[]) => digest(policy("a", slices.join(", ")));
  assert.notEqual(layout(a, b), layout(b, a), "order of slices");
  assert.equal(digest(policy("a", a), policy("b", b)), digest(policy("b", b), policy("a", a)));
});

/** Texts near to valid ones: cut, doubled, with characters of YAML strewn in. */
const SEED = policy(
  "demo",
  "{ offset: 0, length: 8KiB }",
  "{ offset: 0x10000, length: rest }",
) + `deny:
  - { device: ssd, bar: 0, reason: "controller\\x20registers" }
`;
const anyPiece = fc.oneof(
  fc.constantFrom("&a ", "*a", "!!int ", "? ", "- ", ": ", "{", "}", "[", "]", "\n", "\r", "\t"),
  fc.constantFrom("---\n", "...\n", "#", '"', "'", "|\n", ">-\n", "<<: ", "%", "\u0000", "\ufeff"),
  fc.constantFrom("99999999999999999999", "-1", "rest", "null", "~", "0x", "🔒", "\u2028", "name:"),
);
const anyMutation = fc.array(
  fc.record({
    at: fc.nat(SEED.length),
    drop: fc.nat(20),
    insert: fc.oneof(fc.constant(""), anyPiece),
  }),
  { minLength: 1, maxLength: 6 },
);

function mutate(text: string, mutations: readonly { at: number; drop: number; insert: string }[]) {
  return mutations.reduce(
    (t, { at, drop, insert }) => t.slice(0, at) + insert + t.slice(at + drop),
    text,
  );
}

function assertInside(text: string, found: Diagnostic): void {
  const lines = linesOf(text.replace(/^\ufeff/, ""));
  const { line = 0, column = 0, endLine = 0, endColumn = 0 } = found;
  const place = `${found.code} ${line}:${column}-${endLine}:${endColumn}`;
  assert.ok(line >= 1 && column >= 1 && endLine <= lines.length, place);
  assert.ok(column <= (lines[line - 1]?.length ?? 0) + 2, place);
  assert.ok(endColumn <= (lines[endLine - 1]?.length ?? 0) + 2, place);
  assert.ok(endLine > line || (endLine === line && endColumn >= column), place);
}

Deno.test("loadPolicySet() survives any mutation, with places inside the text and none twice", () => {
  fc.assert(
    fc.property(anyMutation, (mutations) => {
      const text = mutate(SEED, mutations);
      const { set, diagnostics } = load(text);
      assert.equal(set === undefined, diagnostics.some((d) => d.severity === "error"));
      for (const found of diagnostics) assertInside(text, found);
      const told = diagnostics.map((d) => JSON.stringify([d.code, d.line, d.column, d.message]));
      assert.equal(new Set(told).size, told.length);
    }),
    { numRuns: runs(3000) },
  );
});

Deno.test("loadPolicySet() survives any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const { set, diagnostics } = loadPolicySet([{ file: "-", bytes }]);
    assert.equal(set, undefined);
    assert.ok(diagnostics.length > 0);
  }));
});

Deno.test("one file cannot drown the rest in diagnostics", () => {
  const many = policy(
    "a",
    ...Array.from({ length: 1500 }, (_, i) => `{ offset: ${i * 8192 + 1}, length: 4KiB }`),
  );
  const { diagnostics } = load(many, "{");
  assert.equal(diagnostics.filter((d) => d.file === "0.yaml").length, 1001);
  assert.equal(diagnostics.at(-2)?.code, "BG1014");
  assert.match(diagnostics.at(-2)?.message ?? "", /^500 more/);
  assert.equal(diagnostics.at(-1)?.code, "BG1004");
});

Deno.test("warnings displace no error, and all are counted, each once", () => {
  const devices = Array.from(
    { length: 1100 },
    (_, i) =>
      `  d${i}: { match: { id: "1b36:0010", serial: "${serial(i)}", address: 0000:03:00.0 } }\n`,
  );
  const text = policy("a", "{ offset: 0, length: 4KiB }").replace(
    "devices:\n",
    `devices:\n${devices.join("")}`,
  ) +
    `  - { name: wrong, device: ssd, bar: 7, region: whole, importers: [engine], collateral: device }\n`;
  const { set, diagnostics, omitted } = load(text);
  const all = (severity: Severity) =>
    diagnostics.filter((found) => found.severity === severity).length + omitted[severity];
  assert.equal(set, undefined);
  assert.deepEqual(
    diagnostics.filter(({ severity }) => severity === "error").map(({ code }) => code),
    ["BG1106"],
  );
  assert.equal(diagnostics.length, 1001);
  // The address of each device is not in quotes.
  assert.equal(all("warning"), 1100);
  assert.match(diagnostics.find(({ code }) => code === "BG1014")?.message ?? "", /^101 more/);
});

/** One that no other device has. */
function serial(index: number): string {
  const digits = index.toString(16).padStart(16, "0");
  return (digits.match(/../g) ?? []).join("-");
}

Deno.test("doorbells are refused for pages that hold registers too, and said to hold queue 0 else", () => {
  const text = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
exports: [{ name: bells, device: ssd, region: nvme.doorbells, importers: [engine] }]
`;
  const told = (pageSize: number) =>
    loadPolicySet([{ file: "p.yaml", text }], { pageSize }).diagnostics.map(({ code }) => code);
  assert.deepEqual(told(4096), ["BG1411"]);
  assert.deepEqual(told(16384), ["BG1401"]);
  assert.deepEqual(told(65536), ["BG1401"]);
});
