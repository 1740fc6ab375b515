import assert from "node:assert/strict";
import { loadPolicySet, type PolicySource } from "../../policy/load.ts";
import { sha256 } from "../../policy/sha256.ts";

const POLICY = Deno.readFileSync(new URL("../corpus/good/minimal.yaml", import.meta.url));

function manifest(...files: readonly (readonly [path: string, hash: string])[]): PolicySource {
  const lines = files.map(([path, hash]) => `  - { path: ${path}, sha256: "${hash}" }\n`);
  const head = "apiVersion: bargate/v1\nkind: PolicySet\nmetadata: { name: site }\nfiles:\n";
  return { file: "site/set.yaml", text: head + lines.join("") };
}

function codes(...sources: readonly PolicySource[]): readonly string[] {
  const { set, diagnostics } = loadPolicySet(sources);
  assert.equal(set === undefined, diagnostics.length > 0);
  return diagnostics.map(({ code, file }) => `${code} ${file}`);
}

const FILE: PolicySource = { file: "site/a/b.yaml", bytes: POLICY };
const LISTED = ["a/b.yaml", sha256(POLICY)] as const;

Deno.test("a set that is exactly what its manifest lists is valid, with the digest of its policies", () => {
  assert.deepEqual(codes(manifest(LISTED), FILE), []);
  const digest = (...sources: readonly PolicySource[]) => loadPolicySet(sources).set?.digest;
  assert.equal(digest(manifest(LISTED), FILE), digest(FILE));
});

Deno.test("files of a set are found however their paths are spelt", () => {
  assert.deepEqual(codes(manifest(LISTED), { ...FILE, file: "./site//a/./b.yaml" }), []);
  const here = { ...manifest(["b.yaml", LISTED[1]]), file: "./set.yaml" };
  assert.deepEqual(codes(here, { ...FILE, file: "b.yaml" }), []);
});

Deno.test("files of a set are found by any of their names", () => {
  const set = manifest(LISTED);
  const given = { ...set, file: "site/../site/set.yaml" };
  assert.deepEqual(codes(given, FILE), []);
  // Absolute beside relative, and a link that was met first.
  const absolute = { ...set, file: "/w/site/set.yaml", names: ["/w/site/set.yaml"] };
  assert.deepEqual(codes(absolute, { ...FILE, names: ["/w/site/a/b.yaml"] }), []);
  const link = { ...FILE, file: "site/a/0.yaml", names: ["/w/site/a/b.yaml"] };
  assert.deepEqual(codes({ ...set, names: absolute.names }, link), []);
  const both = manifest(LISTED, ["a/0.yaml", LISTED[1]]);
  assert.deepEqual(codes({ ...both, names: absolute.names }, link), ["BG1804 site/set.yaml"]);
  // The same below another folder is another file.
  assert.deepEqual(codes(absolute, { ...FILE, names: ["/v/site/a/b.yaml"] }), [
    "BG1801 /w/site/set.yaml",
    "BG1802 site/a/b.yaml",
  ]);
});

Deno.test("a file that is missing, extra or different makes the set invalid", () => {
  assert.deepEqual(codes(manifest(LISTED, ["c.yaml", "0".repeat(64)]), FILE), [
    "BG1801 site/set.yaml",
  ]);
  const text = new TextDecoder().decode(POLICY);
  const extra = {
    file: "site/extra.yaml",
    text: text.replace("demo", "extra").replace("bar: 2", "bar: 0"),
  };
  assert.ok(codes(manifest(LISTED), FILE, extra).includes("BG1802 site/extra.yaml"));
  const changed = { file: FILE.file, text: `${text}# one comment more\n` };
  assert.deepEqual(codes(manifest(LISTED), changed), ["BG1803 site/set.yaml"]);
});

Deno.test("a test beside the policies needs no entry: it allows nothing", () => {
  const text = Deno.readTextFileSync(new URL("../corpus/good/test.yaml", import.meta.url));
  assert.deepEqual(codes(manifest(LISTED), FILE, { file: "site/test.yaml", text }), []);
});

Deno.test("two manifests are one too many", () => {
  const second = { ...manifest(LISTED), file: "site/other.yaml" };
  assert.ok(codes(manifest(LISTED), second, FILE).includes("BG1804 site/other.yaml"));
});

Deno.test("what a manifest misses is named by what to give besides it", () => {
  const fixes = (file: string) =>
    loadPolicySet([{ ...manifest(LISTED), file }]).diagnostics.map(({ fix }) => fix);
  assert.deepEqual(fixes("site/set.yaml"), [
    "give the folder site/, or site/a/b.yaml too, if it is there",
  ]);
  assert.deepEqual(fixes("set.yaml"), ["give the folder ., or a/b.yaml too, if it is there"]);
  assert.deepEqual(fixes("-"), ["Give all files of the set, or correct the manifest."]);
});
