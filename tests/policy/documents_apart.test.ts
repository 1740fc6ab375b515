/** A mistake in one document does not hide, move or repeat what is wrong with another. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { loadPolicySet } from "../../policy/load.ts";
import { documentStretches } from "../../policy/yaml_documents.ts";
import { runs } from "../support/runs.ts";

function policy(index: number, slice: string, tail = ""): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: p${index} }
devices: { ssd: { match: { id: "1b36:00${index.toString(16).padStart(2, "0")}" } } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
exports:
  - name: data
    device: ssd
    bar: 2
    slices: [${slice}]
    importers: [engine]
${tail}`;
}

const GOOD = "{ offset: 0, length: 8KiB }";

/** Documents, sound and broken in every way that YAML and the language know. */
const DOCUMENTS: readonly ((index: number) => string)[] = [
  (index) => policy(index, GOOD),
  (index) => policy(index, "{ offset: 0x800, length: 8KiB }"),
  (index) => policy(index, "{ offset: 0, length: 8MB }, { offset: 0"),
  (index) => policy(index, GOOD, "  bad indentation: [\n"),
  (index) => policy(index, GOOD, `deny: [{ device: *nobody, reason: "an alias of nothing" }]\n`),
  (index) => policy(index, GOOD, "<<: { a: 1 }\n"),
  (index) => policy(index, GOOD, "surplus: 1\nsurplus: 2\n"),
  (index) => policy(index, GOOD, 'text: "an open quote\n'),
  (index) => policy(index, GOOD, `deep: ${"[".repeat(40)}${"]".repeat(40)}\n`),
  (index) => policy(index, GOOD, "block: |\n  ---\n  a line that only looks like a marker\n"),
  (index) => policy(index, GOOD, "\ttab: 1\n"),
  () => "# nothing but a comment\n",
  () => "just text\n",
];

type Told = readonly [code: string, line: number, column: number, endLine: number, end: number];

function told(text: string): readonly Told[] {
  return loadPolicySet([{ file: "p.yaml", text }]).diagnostics.map((found): Told => [
    found.code,
    found.line ?? 0,
    found.column ?? 0,
    found.endLine ?? 0,
    found.endColumn ?? 0,
  ]);
}

function lineCount(text: string): number {
  return text.split("\n").length - 1;
}

Deno.test("each document of a file tells what it would tell alone, at its own place", () => {
  const someDocuments = fc.array(fc.nat(DOCUMENTS.length - 1), { minLength: 1, maxLength: 6 });
  const starts = fc.constantFrom("---\n", "---  # next\n", "%YAML 1.2\n---\n");
  fc.assert(
    fc.property(someDocuments, starts, fc.boolean(), (picked, start, ended) => {
      // A directive can stand behind the end of a document only.
      const end = ended || start.startsWith("%") ? "...\n" : "";
      const parts = picked.map((which, index) =>
        `${start}${DOCUMENTS[which]?.(index) ?? ""}${end}`
      );
      const expected: Told[] = [];
      let above = 0;
      for (const part of parts) {
        for (const [code, line, column, endLine, endColumn] of told(part)) {
          expected.push([code, line + above, column, endLine + above, endColumn]);
        }
        above += lineCount(part);
      }
      assert.deepEqual(told(parts.join("")), expected);
    }),
    { numRuns: runs(300) },
  );
});

Deno.test("a file is cut at its markers, with the directives that belong to what follows", () => {
  const cut = (text: string) =>
    documentStretches(text).map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(cut(""), []);
  assert.deepEqual(cut("a: 1\n"), ["a: 1\n"]);
  assert.deepEqual(cut("---\na: 1\n---\nb: 2"), ["---\na: 1\n", "---\nb: 2"]);
  assert.deepEqual(cut("# c\n%YAML 1.2\n---\na: 1\n"), ["# c\n%YAML 1.2\n---\na: 1\n"]);
  assert.deepEqual(cut("a: 1\n...\n%YAML 1.2\n---\nb: 2\n"), [
    "a: 1\n...\n",
    "%YAML 1.2\n---\nb: 2\n",
  ]);
  assert.deepEqual(cut("a: |\n  ---\n--- |\n  ...\n"), ["a: |\n  ---\n", "--- |\n  ...\n"]);
  assert.deepEqual(cut("a: ---b\n---b: 1\n"), ["a: ---b\n---b: 1\n"], "no markers");
  assert.deepEqual(cut("a: 1\r\n---\r\nb: 2\r\n"), ["a: 1\r\n", "---\r\nb: 2\r\n"]);
  assert.deepEqual(cut("---\n---\n"), ["---\n", "---\n"]);
});

Deno.test("the stretches of any text are the text", () => {
  const lines = fc.constantFrom("---", "...", "a: 1", "", "# c", "  x", "%YAML 1.2", "--- a");
  fc.assert(
    fc.property(fc.array(lines), fc.constantFrom("\n", "\r\n", "\r"), (list, end) => {
      const text = list.join(end);
      const stretches = documentStretches(text);
      assert.equal(stretches.map(({ start, end }) => text.slice(start, end)).join(""), text);
    }),
  );
});
