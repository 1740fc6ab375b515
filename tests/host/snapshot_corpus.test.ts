/** Snapshot files, one case a file, with exactly what must be told of each. */
import assert from "node:assert/strict";
import { snapshotDiagnostic } from "../../engine/snapshot_findings.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import { HOST_CODES } from "../../policy/host_codes.ts";

const CORPUS = new URL("../corpus/snapshots/", import.meta.url);

/** What a case says of one diagnostic; order counts. */
interface Expected {
  readonly code: string;
  readonly severity: string;
  readonly pointer: string;
  readonly line: number;
  readonly column: number;
}

function cases(folder: string): readonly string[] {
  const names = [...Deno.readDirSync(new URL(folder, CORPUS))].map((entry) => entry.name);
  return names.filter((name) => !name.endsWith(".expected.json")).sort();
}

function read(folder: string, name: string): Uint8Array {
  return Deno.readFileSync(new URL(folder + name, CORPUS));
}

function diagnose(folder: string, name: string) {
  const { snapshot, problems } = parseSnapshot(read(folder, name));
  return { snapshot, diagnostics: problems.map((problem) => snapshotDiagnostic(problem, name)) };
}

function told(name: string): readonly Expected[] {
  return diagnose("bad/", name).diagnostics.map(({ code, severity, pointer, line, column }) => ({
    code,
    severity,
    pointer: pointer ?? "",
    line: line ?? 0,
    column: column ?? 0,
  }));
}

Deno.test("bad snapshots get exactly the expected diagnostics, each with value and remedy", async (t) => {
  for (const name of cases("bad/")) {
    await t.step(name, () => {
      const path = new URL(`bad/${name.replace(/\.json$/, ".expected.json")}`, CORPUS);
      assert.deepEqual(told(name), JSON.parse(Deno.readTextFileSync(path)));
      const { snapshot, diagnostics } = diagnose("bad/", name);
      const harmful = diagnostics.some(({ severity }) => severity === "error");
      assert.equal(snapshot === undefined, harmful);
      for (const { code, message, fix } of diagnostics) {
        const silent = ["BG2105", "BG2107", "BG2119", "BG2120"].includes(code);
        if (!silent) assert.match(message, /\(received .+\)$/s);
        assert.ok((fix ?? "").length > 0);
        assert.ok(message.length < 600, message);
      }
    });
  }
});

Deno.test("good snapshots are read without a word, and printing them gives what is canonical", async (t) => {
  for (const name of cases("good/")) {
    await t.step(name, () => {
      const { snapshot, diagnostics } = diagnose("good/", name);
      assert.deepEqual(diagnostics, []);
      assert.ok(snapshot !== undefined);
      const again = new TextEncoder().encode([...printSnapshot(snapshot)].join(""));
      assert.deepEqual(parseSnapshot(again).snapshot, snapshot);
    });
  }
});

/** Of a file that cannot be read there is nothing to read. */
const UNREAD = "BG2122";

Deno.test("every code of snapshots has a case", () => {
  const codes = new Set(cases("bad/").flatMap((name) => told(name).map(({ code }) => code)));
  const all = Object.keys(HOST_CODES).filter((code) => code.startsWith("BG21"));
  assert.deepEqual(all.filter((code) => !codes.has(code)), [UNREAD]);
});
