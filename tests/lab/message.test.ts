import assert from "node:assert/strict";
import { cutLines, linesOf } from "../../lab/protocol/lines.ts";
import { parseMessage } from "../../lab/protocol/message.ts";

function streamOf(...parts: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(
    parts.map((part) => typeof part === "string" ? new TextEncoder().encode(part) : part),
  );
}

Deno.test("parseMessage() reads a case's result", () => {
  const result = { kind: "case", name: "a", state: "passed", ms: 3 };
  assert.deepEqual(parseMessage(JSON.stringify(result)), result);
});

for (const line of ["", "hello", "{", "null", "[]", "3", '{"kind":7}', '{"kind":"else"}']) {
  Deno.test(`parseMessage() shows ${JSON.stringify(line)} as a log line, without an error`, () => {
    const message = parseMessage(line);
    assert.equal(message.kind, "log");
    assert.ok(message.kind === "log" && message.text.endsWith(line));
  });
}

Deno.test("linesOf() joins what the stream cuts, also inside a character", async () => {
  const bytes = new TextEncoder().encode("grün\n");
  const lines = linesOf(streamOf("on", "e\r\ntwo\n\n", bytes.slice(0, 3), bytes.slice(3), "last"));
  assert.deepEqual(await Array.fromAsync(lines), ["one", "two", "", "grün", "last"]);
});

Deno.test("cutLines() keeps the beginning of the next line", () => {
  assert.deepEqual(cutLines("a\nb\nc"), { lines: ["a", "b"], tail: "c" });
  assert.deepEqual(cutLines("a\n"), { lines: ["a"], tail: "" });
});
