import assert from "node:assert/strict";
import { LineMap } from "../../policy/lines.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { toPlain } from "../../policy/node.ts";
import { validatePolicy } from "../../policy/schema_validator.js";
import { parseYaml } from "../../policy/yaml.ts";

/** Parts of a policy that is right. */
const PARTS = {
  labels: "",
  defaults: "access: read-write",
  match: "",
  slice: "offset: 0, length: 8KiB",
  times: "grace: 1s, expires: 1h",
  denied: "offset: 0, length: 4KiB",
};

const PLACES: Readonly<Record<string, Partial<typeof PARTS>>> = {
  "defaults.grace": { defaults: "grace: &x VALUE" },
  "defaults.expires": { defaults: "expires: &x VALUE" },
  "export.grace": { times: "grace: &x VALUE" },
  "export.expires": { times: "expires: &x VALUE" },
  "slice.offset": { slice: "offset: &x VALUE, length: 8KiB" },
  "slice.length": { slice: "offset: 0, length: &x VALUE" },
  "deny.offset": { denied: "offset: &x VALUE, length: 4KiB" },
  "deny.length": { denied: "offset: 0, length: &x VALUE" },
  "match.barSizes": { match: ", barSizes: { 2: &x VALUE }" },
  "match.barSizes, listed": { match: ", barSizes: { 2: [32KiB, &x VALUE] }" },
  "label length": { labels: "length: &x VALUE" },
  "label grace": { labels: "grace: &x VALUE" },
};

const VALUES = [
  ..."5 010 +0 -0 -1 0x10 0x 1.5 1e3 .inf true null ~ zebra Rest REST '' 0 0s 2s 02s 8MB 8 KiB 100d"
    .split(" "),
  ...["", "'rest'", "[]", "[5]", "{}", "{ a: 1 }", "99999999999999999999", "!!str 5", "!!int '5'"],
];

/** The policy with one value at one place; `user` may be that value again. */
function policy(place: Partial<typeof PARTS>, value: string, user: string): string {
  const { labels, defaults, match, slice, times, denied } = { ...PARTS, ...place };
  return [
    "apiVersion: bargate/v1",
    "kind: ExportPolicy",
    `metadata: { name: demo, labels: { ${labels} } }`,
    `defaults: { ${defaults} }`,
    `devices: { ssd: { match: { id: "1b36:0010"${match} } } }`,
    "exports:",
    `  - { name: data, device: ssd, bar: 2, slices: [{ ${slice} }], importers: [engine], ${times} }`,
    `deny: [{ device: ssd, bar: 4, slices: [{ ${denied} }], reason: kept }]`,
    `importers: { engine: { identity: { user: ${user} }, driver: iommufd } }`,
    "",
  ].join("\n").replace("VALUE", value);
}

Deno.test("what the schema refuses is never valid, whoever parses it", () => {
  let refused = 0;
  for (const [name, place] of Object.entries(PLACES)) {
    for (const value of VALUES) {
      for (const user of ["nobody", "*x"]) {
        const text = policy(place, value, user);
        const [root] = parseYaml(text, new LineMap("a.yaml", text)).documents;
        if (root === undefined || validatePolicy(toPlain(root))) continue;
        refused += 1;
        const { set, diagnostics } = loadPolicySet([{ file: "a.yaml", text }]);
        assert.equal(set, undefined, `${name}: ${value}`);
        assert.ok(diagnostics.some(({ severity }) => severity === "error"), `${name}: ${value}`);
      }
    }
  }
  assert.ok(refused > 200, `${refused}`);
});

Deno.test("each place takes what is right there", () => {
  const right = { grace: "2s", expires: "8h", offset: "0", length: "4KiB", barSizes: "64KiB" };
  for (const [name, place] of Object.entries(PLACES)) {
    if (name.startsWith("label")) continue;
    const value = Object.entries(right).find(([key]) => name.includes(key))?.[1] ?? "";
    const { diagnostics } = loadPolicySet([{ file: "a.yaml", text: policy(place, value, "root") }]);
    assert.deepEqual(diagnostics.filter(({ severity }) => severity === "error"), [], name);
  }
});

Deno.test("of what is refused a message shows no more than tells which it is", () => {
  const long = `top secret ${"x".repeat(200)}`;
  for (const text of [long, `devices: ${long}`, `metadata: { name: ${long} }`]) {
    const policy = `apiVersion: bargate/v1\nkind: ExportPolicy\n${text}\n`;
    const { diagnostics } = loadPolicySet([{
      file: "a.yaml",
      text: text === long ? text : policy,
    }]);
    assert.ok(diagnostics.length > 0);
    for (const { message } of diagnostics) assert.ok(!message.includes("x".repeat(81)), message);
  }
});
