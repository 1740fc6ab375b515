import assert from "node:assert/strict";
import { TEXT } from "./output_scenarios.ts";

const PROGRAM = new URL("./output_scenarios.ts", import.meta.url).pathname;

function start(...args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", PROGRAM, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** All that is written, read in small pieces, so that the pipe is full most of the time. */
async function slowly(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = (stream as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" });
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read(new Uint8Array(1000));
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
}

Deno.test("textOutput loses nothing when a full pipe does not block", async () => {
  const { stdout, stderr, status } = start("text");
  assert.equal(await slowly(stdout), TEXT);
  assert.equal(await new Response(stderr).text(), "");
  assert.equal((await status).code, 0);
});

Deno.test("EventPump loses nothing and holds nobody up when a pipe is full", async () => {
  for (const more of [[], ["blocking"]]) {
    const { stdout, stderr, status } = start("pump", ...more);
    const said = stderr.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await said.read()).value, "written\n");
    assert.equal(await slowly(stdout), TEXT);
    assert.equal((await said.read()).done, true);
    assert.equal((await status).code, 0);
  }
});

Deno.test("a process whose output nobody reads can end", async () => {
  for (const more of [[], ["blocking"]]) {
    const { stdout, stderr, status } = start("stuck", ...more);
    assert.equal(await new Response(stderr).text(), "false\n");
    assert.equal((await status).code, 7);
    await stdout.cancel();
  }
});

Deno.test("writePieces loses nothing when a full pipe does not block", async () => {
  const { stdout, stderr, status } = start("pieces");
  assert.equal(await slowly(stdout), TEXT);
  assert.equal(await new Response(stderr).text(), "");
  assert.equal((await status).code, 0);
});

Deno.test("writePieces: a reader that goes away ends it, and is no error", async () => {
  const { stdout, stderr, status } = start("pieces");
  await stdout.cancel();
  assert.equal(await new Response(stderr).text(), "");
  assert.equal((await status).code, 0);
});
