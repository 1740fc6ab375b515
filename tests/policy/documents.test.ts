/** What is generated or written beside the language: codes, schema, pages, examples. */
import assert from "node:assert/strict";
import { diagnosticsPage } from "../../docs/generate_diagnostics.ts";
import { type CodeEntry, CODES } from "../../policy/codes.ts";
import { CODE_EXAMPLES, EXAMPLE_POLICY } from "../../policy/code_examples.ts";
import { exampleFile } from "../../policy/example_text.ts";
import { IMPORTER_DRIVERS } from "../../policy/importer_drivers.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { LineMap } from "../../policy/lines.ts";
import type { Node } from "../../policy/node.ts";
import { type DocumentKind, generalPath, SHAPES } from "../../policy/shape.ts";
import { parseYaml } from "../../policy/yaml.ts";
import policySetSchema from "../../policy/policy_set.schema.json" with { type: "json" };
import policyTestSchema from "../../policy/policy_test.schema.json" with { type: "json" };
import schema from "../../policy/schema.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

function diagnose(content: string | Uint8Array) {
  const source = typeof content === "string" ? { text: content } : { bytes: content };
  return loadPolicySet([{ file: "example.yaml", ...source }]).diagnostics;
}

const ENTRIES: readonly (readonly [string, CodeEntry])[] = Object.entries(CODES);

Deno.test("every code is given for its wrong example, and nothing for its right one", async (t) => {
  assert.deepEqual(Object.keys(CODE_EXAMPLES), Object.keys(CODES));
  for (const [code, { wrong, right }] of Object.entries(CODE_EXAMPLES)) {
    await t.step(code, () => {
      const codes = new Set<string>(diagnose(exampleFile(wrong)).map((d) => d.code));
      assert.ok(codes.has(code));
      // The note that there is more comes with what there is more of.
      const alone = !["BG1014", "BG1801", "BG1802", "BG1803", "BG1804"].includes(code);
      if (alone) assert.deepEqual([...codes], [code]);
      assert.deepEqual(diagnose(exampleFile(right ?? EXAMPLE_POLICY)), []);
    });
  }
});

Deno.test("codes are BG1 and three digits, ascending, with all texts", () => {
  const codes = ENTRIES.map(([code]) => code);
  assert.deepEqual(codes, codes.toSorted());
  for (const [code, { title, why, fix }] of ENTRIES) {
    assert.match(code, /^BG1[0-9]{3}$/);
    for (const text of [title, why, fix]) assert.ok(text.length > 0, code);
  }
});

Deno.test("docs/diagnostics.md is fresh", () => {
  assert.equal(read("docs/diagnostics.md"), diagnosticsPage(), "run docs/generate_diagnostics.ts");
});

/** A node of the schema, as far as this test looks. */
interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
}

interface Schema extends SchemaNode {
  readonly $defs?: Readonly<Record<string, SchemaNode>>;
}

function definition(root: Schema, node: SchemaNode): SchemaNode {
  const name = node.$ref?.replace("#/$defs/", "");
  return (name === undefined ? undefined : root.$defs?.[name]) ?? node;
}

/** Keys of every mapping of the schema that has a closed list of them, by general path. */
function closedMappings(
  root: Schema,
  node: SchemaNode,
  path: string,
): (readonly [string, readonly string[]])[] {
  const { properties = {}, additionalProperties, items } = definition(root, node);
  const own = additionalProperties === false ? [[path, Object.keys(properties)] as const] : [];
  const named = typeof additionalProperties === "object"
    ? closedMappings(root, additionalProperties, `${path}/*`)
    : [];
  const below = Object.entries(properties).flatMap(([key, value]) =>
    closedMappings(root, value, `${path}/${key}`)
  );
  return [...own, ...named, ...below, ...(items ? closedMappings(root, items, `${path}/*`) : [])];
}

Deno.test("the shapes are those of the schemas", () => {
  const schemas: readonly (readonly [DocumentKind, Schema])[] = [
    ["ExportPolicy", schema],
    ["PolicySet", policySetSchema],
    ["PolicyTest", policyTestSchema],
  ];
  for (const [kind, root] of schemas) {
    const inSchema = new Map(closedMappings(root, root, ""));
    assert.deepEqual([...SHAPES[kind].keys()].sort(), [...inSchema.keys()].sort());
    for (const [path, { keys }] of SHAPES[kind]) {
      assert.deepEqual(keys.toSorted(), inSchema.get(path)?.toSorted(), path);
    }
  }
});

Deno.test("the schema offers exactly the importer drivers that work", () => {
  const accepted = [...IMPORTER_DRIVERS.values()].filter((d) => d.verdict === "accepts");
  const names = accepted.map((driver) => driver.name);
  assert.deepEqual(schema.$defs.importer.properties.driver.examples, names);
  assert.ok(accepted.every((driver) => driver.since !== undefined));
});

/** The YAML blocks of a page. */
function blocks(page: string): readonly string[] {
  return [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
}

/** Completes a block with the parts of the example policy that it does not have. */
function completed(block: string): string {
  if (block.includes("kind:")) return block;
  const sections = block.split(/^(?=[A-Za-z]+:)/m).map((text) => text.trimEnd());
  const given = Object.fromEntries(sections.map((text) => [text.split(":")[0], text]));
  const parts: Readonly<Record<string, string>> = { ...EXAMPLE_POLICY, ...given };
  // All that is given is checked, also what no example of a code has.
  return Object.values(parts).join("\n");
}

Deno.test("every example of docs/policy.md is valid", () => {
  const examples = blocks(read("docs/policy.md"));
  assert.ok(examples.length >= 25);
  for (const block of examples) {
    // Doorbells are never exported without a word.
    const told = diagnose(completed(block)).filter(({ code }) =>
      code !== "BG1411" || !block.includes("region: nvme.doorbells")
    );
    assert.deepEqual(told, [], block);
  }
});

/** Keys in a tree by the general path of their mapping. */
function* keysIn(node: Node, path: readonly string[]): Generator<string, undefined> {
  const children = node.kind === "mapping"
    ? [...node.entries].map(([key, { value }]) => [key, value] as const)
    : node.kind === "sequence"
    ? node.items.map((item, index) => [`${index}`, item] as const)
    : [];
  for (const [key, child] of children) {
    if (node.kind === "mapping") yield `${generalPath(path)} ${key}`;
    yield* keysIn(child, [...path, key]);
  }
}

Deno.test("docs/policy.md has an example of every key", () => {
  const page = read("docs/policy.md");
  // A manifest is valid only with its files, so its example stands apart.
  const examples = [...page.matchAll(/^```yaml(?: manifest)?\n(.*?)^```$/gms)].map((m) =>
    m[1] ?? ""
  );
  const shown = new Set(examples.flatMap((block) => {
    const { documents } = parseYaml(block, new LineMap("example.yaml", block));
    return documents.flatMap((root) => [...keysIn(root, [])]);
  }));
  const keys = Object.values(SHAPES).flatMap((shapes) =>
    [...shapes].flatMap(([path, { keys }]) => keys.map((key) => `${path} ${key}`))
  );
  const missing = keys.filter((key) => !shown.has(key) && !/barSizes [0-5]$/.test(key));
  assert.deepEqual(missing, []);
});

Deno.test("docs/policy.md names every key and every importer driver that works", () => {
  const page = read("docs/policy.md");
  for (
    const key of Object.values(SHAPES).flatMap((shapes) => [...shapes.values()]).flatMap((
      { keys },
    ) => keys)
  ) {
    assert.ok(page.includes(key), key);
  }
  for (const { name, verdict } of IMPORTER_DRIVERS.values()) {
    if (verdict === "accepts") assert.ok(page.includes(`\`${name}\``), name);
  }
});

Deno.test("the example policies are valid, alone and together", () => {
  const folder = new URL("examples/policies/", ROOT);
  const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
  const sources = names.map((name) => ({ file: name, text: read(`examples/policies/${name}`) }));
  assert.deepEqual(names, [
    "cmb-on-large-pages.yaml",
    "cmb-to-edu.yaml",
    "cmb-to-rnic.yaml",
    "doorbells-to-rnic.yaml",
    "gpu-to-rnic.yaml",
    "vf-to-vmm.yaml",
  ]);
  assert.deepEqual(loadPolicySet(sources).diagnostics, []);
  for (const source of sources) assert.deepEqual(loadPolicySet([source]).diagnostics, []);
});
