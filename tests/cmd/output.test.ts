import assert from "node:assert/strict";
import { CommandError, describeError, exitStatusOf } from "../../cmd/errors.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { VERBS } from "../../cmd/main.ts";
import { drawFrame } from "../../cmd/output/frame.ts";
import { humanDiagnostics } from "../../cmd/output/human.ts";
import { junitCases } from "../../cmd/output/junit.ts";
import { visible } from "../../cmd/output/visible.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";

Deno.test("every verb's line in the help is the one of its command", async () => {
  for (const [name, verb] of Object.entries(VERBS)) {
    const { command } = await verb.load();
    assert.equal(verb.brief, command.brief, name);
  }
});

Deno.test("drawFrame() keeps tabs, and counts wide characters double", () => {
  const place = { line: 1, column: 4, endLine: 1, endColumn: 6 };
  assert.deepEqual(drawFrame(["\tb: xy"], { ...place, column: 5, endColumn: 7 }, "^"), [
    "  |",
    "1 | \tb: xy",
    "  | \t   ^^",
  ]);
  assert.deepEqual(drawFrame(["日本 xy"], place, "^"), ["  |", "1 | 日本 xy", "  |      ^^"]);
});

Deno.test("drawFrame() cuts long lines around the place", () => {
  const line = `${"a".repeat(500)}XYZ${"b".repeat(500)}`;
  const place = { line: 1, column: 501, endLine: 1, endColumn: 504 };
  const [, text = "", mark = ""] = drawFrame([line], place, "^");
  assert.ok(text.length < 140);
  assert.equal(text.slice(mark.indexOf("^"), mark.lastIndexOf("^") + 1), "XYZ");
});

Deno.test("drawFrame() marks one character where a place is empty or the line is over", () => {
  assert.deepEqual(drawFrame(["ab"], { line: 1, column: 3 }, "^"), ["  |", "1 | ab", "  |   ^"]);
  assert.deepEqual(drawFrame(["ab"], { line: 2, column: 1 }, "^"), []);
});

const FOUND: Diagnostic = {
  code: "BG1101",
  severity: "error",
  message: "Cannot accept \x1b[2J\u202e",
  file: "a\x1b.yaml",
  line: 1,
  column: 1,
  endLine: 1,
  endColumn: 2,
  help: "docs/diagnostics.md#BG1101",
};

Deno.test("human output lets no control or hidden character of the input through", () => {
  const text = humanDiagnostics([FOUND], { textOf: () => "x\x1b[31m\u202ey", coloured: false });
  assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Cf}]/u);
  assert.match(text, /<U\+001B>\[2J<U\+202E>/);
});

Deno.test("human output of what has no place is its message, fix and help", () => {
  const found: Diagnostic = {
    code: "BG2001",
    severity: "warning",
    message: "No such device",
    fix: "plug it in",
    help: "docs/diagnostics.md#BG2001",
  };
  assert.equal(
    humanDiagnostics([found], { textOf: () => undefined, coloured: false }),
    "warning[BG2001]: No such device\n  fix: plug it in\n  help: docs/diagnostics.md#BG2001\n",
  );
});

Deno.test("colours are there when asked for, and every one is ended", () => {
  const text = humanDiagnostics([FOUND], { textOf: () => "x", coloured: true });
  const starts = text.split("\x1b[").length - 1;
  const ends = text.split("\x1b[0m").length - 1;
  assert.ok(ends > 3 && starts === 2 * ends);
});

Deno.test("describeError() tells the chain of causes once each, and stacks only when asked", () => {
  const root = new Error("disk on fire");
  const middle = new Error("Cannot read x: disk on fire", { cause: root });
  const error = new Error("Cannot validate", { cause: middle });
  assert.equal(describeError(error), "Cannot validate: Cannot read x: disk on fire");
  assert.ok(describeError(error, true).includes("    at "));
  const loop = new Error("round");
  loop.cause = loop;
  assert.equal(describeError(loop), "round");
  assert.equal(describeError("text"), "text");
});

Deno.test("exitStatusOf() is the error's own status, else 5", () => {
  assert.equal(exitStatusOf(new CommandError("x", ExitStatus.denied)), ExitStatus.denied);
  assert.equal(exitStatusOf(new Error("x")), ExitStatus.refused);
});

Deno.test("what XML cannot have, and what nobody sees, is shown by its code point", () => {
  const name = "a\uffff\ufdd0\u{1fffe}\u3164\u00ad\ufe0f\u{e0041}\u2800\r\0";
  const shown =
    "a<U+FFFF><U+FDD0><U+1FFFE><U+3164><U+00AD><U+FE0F><U+E0041><U+2800><U+000D><U+0000>";
  assert.equal(visible(name), shown);
  const escaped = shown.replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  assert.match(
    junitCases("s", [{ group: "g", name }]),
    new RegExp(`name="${RegExp.escape(escaped)}"`),
  );
});

Deno.test("describeError says once what the kernel answered", () => {
  const cause = new KernelError("statx", 2, "ENOENT", "/x");
  const told = new Error("Cannot resolve /x: there is no such file (ENOENT)", { cause });
  assert.equal(describeError(told), "Cannot resolve /x: there is no such file (ENOENT)");
  const silent = new Error("Cannot resolve /x", { cause });
  assert.equal(describeError(silent), "Cannot resolve /x: statx on /x failed: ENOENT");
});

Deno.test("no frame is drawn of a file whose text is not there", () => {
  const place = { file: "host.json", line: 1, column: 1, endLine: 1, endColumn: 1 };
  const found = { code: "BG2122", severity: "error", message: "no", help: "h", ...place } as const;
  for (const text of [undefined, ""]) {
    assert.equal(
      humanDiagnostics([found], { textOf: () => text, coloured: false }),
      "error[BG2122]: no\n  --> host.json:1:1\n  help: h\n",
    );
  }
});
