import assert from "node:assert/strict";
import { loadPolicySet } from "../../policy/load.ts";

const BAD = new URL("../corpus/bad/", import.meta.url);

function diagnose(name: string) {
  const file = `${name}.yaml`;
  return loadPolicySet([{ file, bytes: Deno.readFileSync(new URL(file, BAD)) }]).diagnostics;
}

Deno.test("what is wrong where an alias stands names the alias, and where its text is", () => {
  const [denied] = diagnose("alias-of-slices-that-one-device-denies");
  assert.deepEqual([denied?.code, denied?.line, denied?.column], ["BG1406", 21, 13]);
  const places = denied?.related?.map(({ message, line, column, endLine, endColumn }) => ({
    message,
    at: [line, column, endLine, endColumn],
  }));
  assert.deepEqual(places, [
    { message: "denied here", at: [24, 37, 24, 68] },
    { message: "the alias stands for this", at: [16, 9, 16, 40] },
  ]);
});

Deno.test("what is wrong wherever the value stands is told once, where it is written", () => {
  const found = diagnose("alias-of-what-is-wrong-everywhere");
  assert.deepEqual(found.map(({ code, line }) => [code, line]), [["BG1401", 12]]);
  assert.equal(found[0]?.related, undefined);
});

Deno.test("where the text is, is no field of a diagnostic", () => {
  const [found] = diagnose("alias-of-offset-in-length");
  const fields = Object.keys(JSON.parse(JSON.stringify(found)));
  assert.deepEqual(fields.toSorted(), [
    "code",
    "column",
    "endColumn",
    "endLine",
    "file",
    "fix",
    "help",
    "line",
    "message",
    "related",
    "severity",
  ]);
});
