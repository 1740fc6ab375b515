/**
 * Scenarios of `full_pipe.test.ts`, each in a process of its own: `output_scenarios.ts NAME`. The
 * process's standard output is made non-blocking, as whoever shares it can do.
 *
 * @module
 */
import { systemClock } from "../../engine/clock.ts";
import { textOutput } from "../../cmd/context.ts";
import { EventPump } from "../../cmd/output/event_pump.ts";
import { writePieces } from "../../cmd/output/write_pieces.ts";
import { libc } from "../../ffi/libc.ts";

const STDOUT = 1;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const LINES = 400;

/** Lines of all lengths, each another one, and one that is longer than any pipe. */
export const TEXT = Array.from(
  { length: LINES },
  (_, line) => `${line} ${"x".repeat(line === 200 ? 100_000 : line * 7 % 2000)}\n`,
).join("");

function text(): void {
  textOutput(Deno.stdout).write(TEXT);
}

/** Some pieces shorter than what is gathered, and one longer. */
function pieces(): void {
  writePieces(textOutput(Deno.stdout, STDOUT), TEXT.split(/(?<=\n)/));
}

async function pump(): Promise<void> {
  const pump = new EventPump(Deno.stdout, { clock: systemClock, lossLine: String });
  for (const line of TEXT.split(/(?<=\n)/)) pump.write(line);
  // Said while the pipe is full: writing has held nobody up.
  console.error("written");
  if (!await pump.flush(60_000)) console.error("not flushed");
}

/** The reader does not read: the process must end all the same. */
async function stuck(): Promise<void> {
  const pump = new EventPump(Deno.stdout, { clock: systemClock, lossLine: String });
  for (const line of TEXT.split(/(?<=\n)/)) pump.write(line);
  console.error(await pump.flush(100));
  Deno.exit(7);
}

const SCENARIOS: Readonly<Record<string, () => void | Promise<void>>> = {
  text,
  pieces,
  pump,
  stuck,
};

if (import.meta.main) {
  const [name = "", blocking] = Deno.args;
  if (blocking === undefined) libc().fcntl(STDOUT, F_SETFL, O_NONBLOCK);
  await SCENARIOS[name]?.();
}
