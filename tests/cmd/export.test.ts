/** `plan`, `export` and `reset` on a host that has no device to export from: any host. @module */
import assert from "node:assert/strict";
import { errorText } from "../../cmd/error_text.ts";
import { exitStatusOf } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { eventText } from "../../cmd/output/event_text.ts";
import { styleFor } from "../../cmd/output/style.ts";
import {
  DeniedError,
  HostNotReadyError,
  IdentityDriftError,
  InterruptedError,
  RefusedError,
} from "../../engine/errors.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url).pathname;
const POLICY = new URL("../../examples/policies/cmb-to-edu.yaml", import.meta.url).pathname;
const BAD = new URL("../corpus/bad/", import.meta.url).pathname;

function bargate(...args: readonly string[]) {
  return bargateWith({}, ...args);
}

async function bargateWith(env: Record<string, string>, ...args: readonly string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", MAIN, ...args],
    env,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("plan says that the host has no such device, with the rule's place, status 4", async () => {
  const { status, stdout } = await bargate("plan", POLICY, "--format", "json");
  assert.equal(status, ExitStatus.hostNotReady);
  const plan = JSON.parse(stdout);
  assert.deepEqual([plan.apiVersion, plan.kind, plan.grants], ["bargate/v1", "ExportPlan", []]);
  const found = plan.diagnostics.find(({ code }: { code: string }) => code === "BG2001");
  assert.deepEqual([found.line, found.column, found.file], [11, 12, POLICY]);
});

Deno.test("export starts nothing when the host is not ready", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const marker = `${folder}/started`;
  const ran = await bargate("export", POLICY, "--exec", "--", "/bin/touch", marker);
  assert.equal(ran.status, ExitStatus.hostNotReady);
  assert.match(ran.stderr, /error\[BG2001\]/);
  assert.equal(ran.stdout, "");
  await assert.rejects(Deno.stat(marker), Deno.errors.NotFound);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("export and plan refuse an invalid policy with status 3", async () => {
  const [file] = [...Deno.readDirSync(BAD)].filter(({ name }) => name.endsWith(".yaml"));
  const path = `${BAD}${file?.name}`;
  const ran = await bargate("export", path, "--format", "json", "--exec", "--", "/bin/true");
  assert.equal(ran.status, ExitStatus.invalidPolicy);
  assert.ok(JSON.parse(ran.stdout).summary.errors > 0);
  const plan = await bargate("plan", path, "--format", "json");
  assert.equal(plan.status, ExitStatus.invalidPolicy);
  assert.ok(JSON.parse(plan.stdout).summary.errors > 0);
});

Deno.test("wrong command lines are said to be wrong, status 2", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["export", POLICY], /--exec -- PROGRAM/],
    [["export", POLICY, "--exec", "--"], /--exec -- PROGRAM/],
    [["export", POLICY, "--send", "/x", "--exec", "--", "/bin/true"], /--send SOCKET goes without/],
    [["export", POLICY, "--send", "/x", "--env", "A=b"], /--send SOCKET goes without/],
    [["export", POLICY, "--send", "/x", "--", "/bin/true"], /--send SOCKET goes without/],
    [["reset", "01:00.0"], /full PCI address.*received 01:00\.0/],
    [["reset", "000010000:01:00.0"], /write 10000:01:00\.0/],
    [["export", POLICY, "--env", "A B", "--exec", "--", "/bin/true"], /NAME or NAME=VALUE/],
    [["export", POLICY, "--env", "LISTEN_PID=1", "--exec", "--", "/bin/true"], /LISTEN_PID/],
    [["plan"], /path/],
    [["plan", "/nonexistent"], /Cannot read \/nonexistent/],
  ];
  for (const [args, message] of wrong) {
    const ran = await bargate(...args);
    assert.equal(ran.status, ExitStatus.usage, args.join(" "));
    assert.match(ran.stderr, message);
    assert.doesNotMatch(ran.stderr, /\n\s+at /, "no stack trace");
  }
});

/** An account but root's must have a runtime folder; root's is fixed. */
Deno.test("reset says that nobody has the device open, status 4", async () => {
  const own = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const ran = await bargateWith({ XDG_RUNTIME_DIR: own }, "reset", "ffff:ff:1f.7");
  await Deno.remove(own, { recursive: true });
  assert.equal(ran.status, ExitStatus.hostNotReady);
  assert.match(ran.stderr, /no running bargate of this account has it open/);
});

Deno.test("exitStatusOf knows the engine's errors", () => {
  assert.equal(exitStatusOf(new DeniedError("x")), ExitStatus.denied);
  assert.equal(exitStatusOf(new HostNotReadyError("x")), ExitStatus.hostNotReady);
  assert.equal(exitStatusOf(new IdentityDriftError("x")), ExitStatus.hostNotReady);
  assert.equal(exitStatusOf(new RefusedError("x")), ExitStatus.refused);
  assert.equal(exitStatusOf(new TypeError("x")), ExitStatus.refused);
  assert.equal(exitStatusOf(new InterruptedError("SIGTERM")), 128 + 15);
  assert.equal(exitStatusOf(new InterruptedError("SIGINT")), 128 + 2);
  assert.equal(exitStatusOf(new InterruptedError("SIGHUP")), 128 + 1);
});

Deno.test("errorText lets nothing through that moves a terminal's cursor", () => {
  const cause = new Error("\x1b]0;x\x07");
  assert.equal(
    errorText(new RefusedError("Cannot reset: \x1b[2J", { cause })),
    "error: Cannot reset: <U+001B>[2J: <U+001B>]0;x<U+0007>",
  );
});

Deno.test("eventText writes one line, and nothing that moves a terminal's cursor", () => {
  const text = eventText({
    v: 1,
    seq: 1,
    time: "2026-01-02T03:04:05.678Z",
    type: "ended",
    policy: "sha256:0",
    export: "demo/data",
    reason: "released",
    means: "unmap",
    cause: { source: "channel", detail: "\x1b[2Jgone\n" },
  }, styleFor(false));
  assert.match(text, /^03:04:05\.678 demo\/data: ended \(released, by unmap, channel: .*gone.*\)$/);
  assert.ok([...text].every((character) => character >= " "));
});
