import assert from "node:assert/strict";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { ExportReport, type ReportFormat } from "../../cmd/output/export_report.ts";
import { styleFor } from "../../cmd/output/style.ts";
import type { Clock } from "../../engine/clock.ts";
import { HostNotReadyError, InterruptedError } from "../../engine/errors.ts";
import type { Event, EventType } from "../../engine/event.ts";

/** Time that is over at once, and one that never is. */
const OVER: Pick<Clock, "after"> = {
  after: (_ms, run) => {
    queueMicrotask(run);
    return () => undefined;
  },
};
const STILL: Pick<Clock, "after"> = { after: () => () => undefined };

/** No try is made a second time, and the last limit is over at once. */
const NO_RETRY: Pick<Clock, "after"> = {
  after: (ms, run) => (ms < 1000 ? STILL : OVER).after(ms, run),
};

class Stream {
  text = "";
  stopped = false;
  trouble?: Error;
  write(bytes: Uint8Array): Promise<number> {
    if (this.stopped) return Promise.withResolvers<number>().promise;
    if (this.trouble !== undefined) return Promise.reject(this.trouble);
    this.text += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  }
}

function scene(format: ReportFormat, clock = STILL) {
  const [stdout, stderr] = [new Stream(), new Stream()];
  const report = new ExportReport({ format, stdout, stderr, clock, style: styleFor(false) });
  return { stdout, stderr, report };
}

function event(type: EventType, seq = 1): Event {
  return { v: 1, seq, time: "2026-01-02T03:04:05.678Z", type, policy: "sha256:0", export: "a/b" };
}

const FAILS: readonly (readonly [Error, number])[] = [
  [new HostNotReadyError("Cannot open \x1b[2J"), ExitStatus.hostNotReady],
  [new CommandError("Cannot tell", ExitStatus.usage), ExitStatus.usage],
  [new InterruptedError("SIGTERM"), 143],
];

Deno.test("json is one value, also when something throws, and the error is on standard error too", async () => {
  for (const [error, status] of FAILS) {
    const { stdout, stderr, report } = scene("json");
    const concluded = await report.conclude(() => {
      report.event(event("exported"));
      return Promise.reject(error);
    });
    assert.equal(concluded, status);
    assert.deepEqual(JSON.parse(stdout.text), {
      events: [event("exported")],
      status,
      error: error.message,
    });
    assert.match(stdout.text, /^[^\n]+\n$/);
    assert.match(stderr.text, /^error: [^\n]+\n$/);
    assert.ok(!stderr.text.includes("\x1b"));
  }
});

Deno.test("json without an error has none", async () => {
  const { stdout, stderr, report } = scene("json");
  assert.equal(await report.conclude(() => Promise.resolve(42)), 42);
  assert.deepEqual(JSON.parse(stdout.text), { events: [], status: 42 });
  assert.equal(stderr.text, "");
});

Deno.test("json keeps the newest events, and says how many it does not have", async () => {
  const { stdout, report } = scene("json");
  await report.conclude(() => {
    for (let seq = 1; seq <= 10_007; seq++) report.event(event("importer-refused", seq));
    return Promise.resolve(0);
  });
  const { events, lost } = JSON.parse(stdout.text);
  assert.deepEqual([events.length, events[0].seq, lost], [10_000, 8, 7]);
});

Deno.test("jsonl is a line for each event and no more, also when something throws", async () => {
  const { stdout, stderr, report } = scene("jsonl");
  await report.conclude(() => {
    report.event(event("exported", 1));
    report.event(event("ended", 2));
    return Promise.reject(new HostNotReadyError("Cannot open"));
  });
  assert.deepEqual(stdout.text.trim().split("\n").map((line) => JSON.parse(line)), [
    event("exported", 1),
    event("ended", 2),
  ]);
  assert.equal(stderr.text, "error: Cannot open\n");
});

Deno.test("human is on standard error, events and errors in order", async () => {
  const { stdout, stderr, report } = scene("human");
  await report.conclude(() => {
    report.event(event("exported"));
    report.mention(new Error("by the way"));
    return Promise.reject(new HostNotReadyError("Cannot open"));
  });
  assert.equal(stdout.text, "");
  assert.match(stderr.text, /^bargate .*exported.*\nerror: by the way\nerror: Cannot open\n$/);
});

Deno.test("what was late goes before an error's status, and before a program's", async () => {
  for (const run of [() => Promise.resolve(0), () => Promise.reject(new Error("x"))]) {
    const { report } = scene("json");
    report.event(event("late"));
    assert.equal(await report.conclude(run), ExitStatus.revokeFailed);
  }
  const { report } = scene("json");
  report.problem(new Error("shutdown failed"));
  assert.equal(await report.conclude(() => Promise.resolve(0)), ExitStatus.revokeFailed);
});

Deno.test("a disk that is full is not taken for a reader who does not read", async () => {
  const { stdout, stderr, report } = scene("jsonl", NO_RETRY);
  stdout.trouble = Object.assign(new Error("No space left on device (os error 28)"), {
    code: "ENOSPC",
  });
  report.event(event("exported"));
  assert.equal(await report.conclude(() => Promise.resolve(3)), 3);
  assert.match(stderr.text, /^error: Cannot print everything: the disk is full; make room/);
});

Deno.test("an end does not wait for ever for who does not read, and says so", async () => {
  const { stdout, stderr, report } = scene("jsonl", OVER);
  stdout.stopped = true;
  report.event(event("exported"));
  assert.equal(await report.conclude(() => Promise.resolve(3)), 3);
  assert.match(stderr.text, /^error: Cannot print everything: nobody has read it within 10 s\n$/);
  const silent = scene("human", OVER);
  silent.stderr.stopped = true;
  assert.equal(await silent.report.conclude(() => Promise.resolve(3)), 3);
});
