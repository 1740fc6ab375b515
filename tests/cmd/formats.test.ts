/**
 * Diagnostics in the formats of other programs. `sarif-2.1.0-rtm.5.schema.json` is the official
 * schema of SARIF 2.1.0 as the package @microsoft/jest-sarif (MIT) carries it.
 */
import { Ajv } from "ajv/dist/ajv.js";
import assert from "node:assert/strict";
import { githubDiagnostics } from "../../cmd/output/github.ts";
import { junitCases, junitDiagnostics } from "../../cmd/output/junit.ts";
import { sarifDiagnostics } from "../../cmd/output/sarif.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { loadPolicySet } from "../../policy/load.ts";
import sarifSchema from "./sarif-2.1.0-rtm.5.schema.json" with { type: "json" };

const CORPUS = new URL("../corpus/bad/", import.meta.url);

/** What the schema says, in the words of the validator's draft: `id` became `$id`. */
function sarifValidator() {
  const { $schema: _draft, id: _id, ...schema } = sarifSchema;
  return new Ajv({ strict: false, validateFormats: false, unicodeRegExp: false }).compile(schema);
}

function everyBadPolicy(): readonly Diagnostic[] {
  const names = [...Deno.readDirSync(CORPUS)].map(({ name }) => name)
    .filter((name) => name.endsWith(".yaml")).sort();
  return names.flatMap((name) => {
    const bytes = Deno.readFileSync(new URL(name, CORPUS));
    return loadPolicySet([{ file: `bad policies/${name}`, bytes }]).diagnostics;
  });
}

Deno.test("sarif output of every diagnostic of the corpus is valid by the official schema", () => {
  const validate = sarifValidator();
  const text = sarifDiagnostics(everyBadPolicy());
  assert.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors?.slice(0, 3)));
  assert.ok(validate(JSON.parse(sarifDiagnostics([]))));
  assert.ok(validate(JSON.parse(sarifDiagnostics([], { policy: "sha256:00", refused: "no" }))));
  assert.equal(validate(JSON.parse(text.replace('"level":"error"', '"level":"bad"'))), false);
});

Deno.test("sarif output has rules, escaped paths, regions and the other places", () => {
  const bytes = Deno.readFileSync(new URL("overlap.yaml", CORPUS));
  const { diagnostics } = loadPolicySet([{ file: "a b/ü.yaml", bytes }]);
  const [run] = JSON.parse(sarifDiagnostics(diagnostics)).runs;
  assert.equal(run.tool.driver.rules[0].id, "BG1405");
  const [result] = run.results;
  assert.equal(result.ruleIndex, 0);
  assert.deepEqual(result.locations[0].physicalLocation, {
    artifactLocation: { uri: "a%20b/%C3%BC.yaml" },
    region: { startLine: 18, startColumn: 9, endLine: 18, endColumn: 39 },
  });
  assert.equal(result.relatedLocations[0].physicalLocation.region.startLine, 17);
});

Deno.test("sarif output tells hosts apart, and knows a finding again on another line", () => {
  const { line: _line, ...placeless } = FOUND;
  const of = (...found: readonly Diagnostic[]) => {
    const text = sarifDiagnostics(found, { policy: "sha256:00" });
    const validate = sarifValidator();
    assert.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors?.slice(0, 3)));
    const [run] = JSON.parse(text).runs;
    assert.deepEqual(run.properties, { policy: "sha256:00" });
    return run.results;
  };
  const [first, moved, again] = of(
    { ...FOUND, host: "a.json" },
    { ...FOUND, host: "b.json", line: 7 },
    { ...FOUND, host: "b.json", line: 8 },
  );
  assert.deepEqual(first.locations[0].logicalLocations, [{ name: "a.json", kind: "resource" }]);
  const fingerprints = [first, moved, again].map((result) => result.partialFingerprints);
  assert.equal(new Set(fingerprints.map((one) => one["bargateFinding/v1"])).size, 3);
  const [later] = of({ ...FOUND, host: "b.json", line: 9 });
  assert.deepEqual(later.partialFingerprints, moved.partialFingerprints);
  const { file: _file, ...nowhere } = placeless;
  assert.deepEqual(of({ ...nowhere, host: "a" })[0].locations, [{
    logicalLocations: [{ name: "a", kind: "resource" }],
  }]);
});

Deno.test("sarif output says of each code what to do, and where more is said", () => {
  const [run] = JSON.parse(sarifDiagnostics([FOUND])).runs;
  assert.match(run.tool.driver.rules[0].help.text, /^Fix: .*\nSee docs\/diagnostics\.md#BG1101$/);
});

const FOUND: Diagnostic = {
  code: "BG1101",
  severity: "note",
  message: "100%\nno",
  file: "a,b:c.yaml",
  line: 1,
  column: 2,
  endLine: 3,
  endColumn: 4,
  fix: "that",
  related: [{ message: "here", file: "x.yaml", line: 5, column: 6 }],
  help: "",
};

Deno.test("github output escapes what would end a command or a property", () => {
  assert.equal(
    githubDiagnostics([FOUND]),
    "::notice title=BG1101,file=a%2Cb%3Ac.yaml,line=1,endLine=3,col=2::100%25<U+000A>no%0Ax.yaml:5:6: here%0Afix: that\n",
  );
});

Deno.test("github output says what a run came to that found nothing", () => {
  assert.equal(
    githubDiagnostics([], { policy: "sha256:00" }, "valid\nsha256:00"),
    "::notice title=bargate::valid<U+000A>sha256:00\n",
  );
});

Deno.test("junit output has a case for each file, and nothing that is no XML", () => {
  const error: Diagnostic = { ...FOUND, severity: "error", message: 'a<b>"&\u0000' };
  const text = junitDiagnostics([FOUND, error], ["a,b:c.yaml", "good.yaml"]);
  assert.match(
    text,
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites tests="2" failures="1"/,
  );
  assert.match(text, /<failure message="a&lt;b&gt;&quot;&amp;&lt;U\+0000&gt;">/);
  assert.match(
    text,
    /<system-out>a,b:c.yaml:1:2: note\[BG1101\]: 100%&lt;U\+000A&gt;no\n {2}fix: that<\/system-out>/,
  );
  assert.match(text, /<testcase classname="policy" name="good.yaml"\/>/);
  assert.match(junitCases("none", []), /tests="0" failures="0"/);
});
