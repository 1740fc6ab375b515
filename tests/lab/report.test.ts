import assert from "node:assert/strict";
import { layoutDifferences } from "../../lab/check_layouts.ts";
import { describeLabError, LabError } from "../../lab/lab_error.ts";
import { withLimit } from "../../lab/limit.ts";
import { LabOutput } from "../../lab/output.ts";
import type { CaseResult } from "../../lab/protocol/message.ts";
import { caseLines, countLine, storyText } from "../../lab/report.ts";

const OUTPUT = new LabOutput({ isTerminal: false, write: () => undefined }, false);
const PASSED: CaseResult = { kind: "case", name: "a", state: "passed", ms: 1234 };
const FAILED: CaseResult = {
  kind: "case",
  name: "b",
  state: "failed",
  ms: 5,
  message: "no",
  detail: "x\ny",
  figures: { ns: 7 },
};

Deno.test("caseLines() is one line for a case that passed", () => {
  assert.deepEqual(caseLines(PASSED, OUTPUT), ["ok   a (1.2 s)"]);
});

Deno.test("caseLines() shows reason, detail and figures of one that failed", () => {
  assert.deepEqual(caseLines(FAILED, OUTPUT), [
    "FAIL b (0.0 s)",
    "     no",
    "     | x",
    "     | y",
    "     ns: 7",
  ]);
});

Deno.test("countLine() counts, and speaks of skipped cases only when there are some", () => {
  assert.equal(countLine([PASSED, FAILED, PASSED]), "2 passed, 1 failed");
  assert.equal(countLine([{ ...PASSED, state: "skipped" }]), "0 passed, 0 failed, 1 skipped");
});

Deno.test("storyText() indents the lines that follow", () => {
  assert.equal(storyText("say", "one\ntwo", OUTPUT), "  one\n  two");
});

Deno.test("layoutDifferences() ignores the headers' version and names what differs", () => {
  const ours = '{"kernel":"7.3.4","structs":{"s":{"size":8}}}';
  assert.deepEqual(layoutDifferences(ours, ours.replace("7.3.4", "7.4.0")), []);
  assert.deepEqual(layoutDifferences(ours, ours.replace("8", "16")), [
    "checked in: structs.s.size = 8",
    "compiler:   structs.s.size = 16",
  ]);
});

Deno.test("withLimit() gives up with what it waited for and the tail of the log", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const error = await withLimit(promise, 10, "the guest", () => ["last line"]).catch((e) => e);
  resolve();
  assert.ok(error instanceof LabError);
  assert.deepEqual(describeLabError(error), [
    "Waited 0.0 s for the guest, in vain",
    "  | last line",
  ]);
});

Deno.test("withLimit() hands on the result and the error", async () => {
  assert.equal(await withLimit(Promise.resolve(3), 1000, "three"), 3);
  await assert.rejects(withLimit(Promise.reject(new Error("no")), 1000, "three"), /^Error: no$/);
});
