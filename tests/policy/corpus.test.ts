import assert from "node:assert/strict";
import { CODES } from "../../policy/codes.ts";
import { loadPolicySet } from "../../policy/load.ts";

const CORPUS = new URL("../corpus/", import.meta.url);

/** What a case says of one diagnostic; order counts. */
interface Expected {
  readonly code: string;
  readonly severity: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

function cases(folder: string): readonly string[] {
  const names = [...Deno.readDirSync(new URL(folder, CORPUS))].map((entry) => entry.name);
  return names.filter((name) => name.endsWith(".yaml")).sort();
}

function diagnose(folder: string, name: string): readonly Expected[] {
  const bytes = Deno.readFileSync(new URL(folder + name, CORPUS));
  return loadPolicySet([{ file: name, bytes }]).diagnostics.map((found) => ({
    code: found.code,
    severity: found.severity,
    line: found.line ?? 0,
    column: found.column ?? 0,
    endLine: found.endLine ?? 0,
    endColumn: found.endColumn ?? 0,
  }));
}

Deno.test("bad policies get exactly the expected diagnostics at the expected places", async (t) => {
  for (const name of cases("bad/")) {
    await t.step(name, () => {
      const path = new URL(`bad/${name.replace(/\.yaml$/, ".expected.json")}`, CORPUS);
      const expected: Expected[] = JSON.parse(Deno.readTextFileSync(path));
      const order = (a: Expected, b: Expected) => a.line - b.line || a.column - b.column;
      assert.deepEqual(diagnose("bad/", name), expected.toSorted(order));
    });
  }
});

Deno.test("good policies get no diagnostics", async (t) => {
  for (const name of cases("good/")) {
    await t.step(name, () => assert.deepEqual(diagnose("good/", name), []));
  }
});

Deno.test("every code has a case, but those that need megabytes or a thousand mistakes", () => {
  const told = new Set(cases("bad/").flatMap((name) => diagnose("bad/", name).map((d) => d.code)));
  // BG1001 takes 32 MiB of a file, and BG1014 a thousand lines of expectations: both are asked for in
  // load.test.ts and validate.test.ts, and by their examples in documents.test.ts.
  const missing = Object.keys(CODES).filter((code) => !told.has(code));
  assert.deepEqual(missing, ["BG1001", "BG1014"]);
});

Deno.test("the corpus is not smaller than promised", () => {
  assert.ok(cases("bad/").length >= 240);
  assert.ok(cases("good/").length >= 60);
});
