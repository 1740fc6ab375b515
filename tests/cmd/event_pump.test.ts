import assert from "node:assert/strict";
import { EventPump } from "../../cmd/output/event_pump.ts";
import { ManualClock, settle } from "../engine/support.ts";

/** A stream that takes what it is told to take. */
class Stream {
  text = "";
  calls = 0;
  /** What the next writes answer: how many bytes, or what they throw; then everything is taken. */
  readonly answers: (number | Error)[] = [];
  #held: PromiseWithResolvers<void> | undefined;

  /** From now on writes do not return: a stopped terminal. */
  stop(): () => void {
    const held = Promise.withResolvers<void>();
    this.#held = held;
    return () => {
      this.#held = undefined;
      held.resolve();
    };
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.calls++;
    await this.#held?.promise;
    const answer = this.answers.shift() ?? bytes.length;
    if (answer instanceof Error) throw answer;
    this.text += new TextDecoder().decode(bytes.subarray(0, answer));
    return answer;
  }
}

function scene(limit?: number) {
  const [stream, clock] = [new Stream(), new ManualClock()];
  const pump = new EventPump(stream, {
    clock,
    lossLine: (lost) => `${lost} lost\n`,
    ...(limit === undefined ? {} : { limit }),
  });
  return { stream, clock, pump };
}

const wouldBlock = () => new Deno.errors.WouldBlock("full");

Deno.test("EventPump writes in order, and nothing at the call itself", async () => {
  const { stream, pump } = scene();
  for (const line of ["a\n", "b\n", "c\n"]) pump.write(line);
  assert.equal(stream.text, "");
  await settle();
  assert.equal(stream.text, "a\nb\nc\n");
  assert.equal(await pump.flush(1000), true);
});

Deno.test("EventPump goes on where a stream took a part, or nothing", async () => {
  const { stream, clock, pump } = scene();
  stream.answers.push(
    2,
    wouldBlock(),
    0,
    1,
    new Deno.errors.Interrupted("x"),
    new Error("disk full"),
  );
  pump.write("abcdef\n");
  pump.write("g\n");
  await settle();
  assert.equal(stream.text, "ab");
  await clock.advance(1000);
  assert.equal(stream.text, "abcdef\ng\n");
});

Deno.test("EventPump ends for good when the reader has gone", async () => {
  const { stream, clock, pump } = scene();
  stream.answers.push(new Deno.errors.BrokenPipe("gone"));
  pump.write("a\n");
  const flushed = pump.flush(1000);
  await clock.advance(0);
  assert.equal(await flushed, true);
  pump.write("b\n");
  await clock.advance(1000);
  assert.deepEqual([stream.text, stream.calls], ["", 1]);
});

Deno.test("EventPump loses the oldest over its limit, says how many, and keeps the newest", async () => {
  const { stream, pump } = scene(8);
  const go = stream.stop();
  pump.write("first\n");
  await settle();
  for (let line = 1; line <= 9; line++) pump.write(`${line}..\n`);
  go();
  await settle();
  assert.equal(stream.text, "first\n7 lost\n8..\n9..\n");
  pump.write(`${"x".repeat(100)}\n`);
  await settle();
  assert.match(stream.text, /x{100}\n$/);
});

Deno.test("EventPump.flush waits no longer than it was told, and can be waited for again", async () => {
  const { stream, clock, pump } = scene();
  const go = stream.stop();
  pump.write("a\n");
  const flushed = pump.flush(500);
  await clock.advance(499);
  assert.equal(await Promise.race([flushed, Promise.resolve("waiting")]), "waiting");
  await clock.advance(1);
  assert.equal(await flushed, false);
  const again = pump.flush(500);
  go();
  assert.equal(await again, true);
  assert.equal(stream.text, "a\n");
});

Deno.test("EventPump.write throws nothing, whatever the stream does", async () => {
  const clock = new ManualClock();
  const stream = {
    write: (): Promise<number> => {
      throw new TypeError("closed");
    },
  };
  const pump = new EventPump(stream, { clock, lossLine: String });
  pump.write("a\n");
  await settle();
  const flushed = pump.flush(100);
  await clock.advance(100);
  assert.equal(await flushed, false);
});
