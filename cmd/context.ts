/**
 * What a verb sees of its process: where to write, and how to say the exit status. Results go to
 * `stdout`, everything else to `stderr`.
 *
 * @module
 */
import type { ApplicationContext, StricliProcess } from "@stricli/core";
import { firstChunk } from "./output/chunk.ts";
import type { AsyncStream } from "./output/event_pump.ts";

/** A stream of text; `isTerminal` decides about colours and frames. */
export interface TextOutput {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** The number of what it writes to, for who writes much (`writePieces`); absent: only `write` does. */
  readonly descriptor?: number;
}

/** `this` of every verb. */
export interface Context extends ApplicationContext {
  readonly process: StricliProcess & {
    readonly stdout: TextOutput;
    readonly stderr: TextOutput;
  };
  /** Whether colours are welcome where a terminal is (`NO_COLOR` is not set). */
  readonly colours: boolean;
  /** All of standard input, up to what a policy may be long. */
  readonly readStdin: () => Promise<Uint8Array>;
  /** The program and arguments after `--`, of a verb that takes one. */
  readonly command: readonly string[];
  /** The same streams, for what must not wait. */
  readonly background: { readonly stdout: AsyncStream; readonly stderr: AsyncStream };
  /** Sets what the process exits with when the verb returns. */
  exitWith(status: number): void;
  /** Ends the process now, whatever its threads wait for. */
  exitNow(status: number): never;
}

/** What a verb says cannot be written: the disk that it is redirected to is full, say. */
export class OutputError extends Error {
  override readonly name = "OutputError";

  /** @param cause what the runtime threw */
  constructor(cause: unknown) {
    super(`Cannot write what is printed: ${withoutNumber(cause)}`, { cause });
  }
}

/** What the runtime says, without the number of the error. */
function withoutNumber(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\).*$/s, "");
}

interface SyncStream {
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

/** How long until a stream that took nothing is tried again. */
const RETRY_MS = 10;

/**
 * Wraps one of Deno's own standard streams. A reader that went away (`| head`) is no error. One that
 * is slow is waited for, also where somebody who shares the stream has made it non-blocking.
 *
 * @param stream to write to
 * @param descriptor its number
 * @returns its `write` throws {@linkcode OutputError}
 */
export function textOutput(stream: SyncStream, descriptor?: number): TextOutput {
  let open = true;
  return {
    get isTerminal() {
      return stream.isTerminal();
    },
    ...(descriptor === undefined ? {} : { descriptor }),
    write(text) {
      let rest = new TextEncoder().encode(text);
      while (open && rest.length > 0) {
        try {
          rest = rest.subarray(stream.writeSync(firstChunk(rest)));
        } catch (error) {
          if (isFull(error)) pauseSync(RETRY_MS);
          else if (error instanceof Deno.errors.BrokenPipe) open = false;
          else throw new OutputError(error);
        }
      }
    },
  };
}

function isFull(error: unknown): boolean {
  return error instanceof Deno.errors.WouldBlock || error instanceof Deno.errors.Interrupted;
}

/** Blocks this thread, as writing to a full pipe does. The only means is a wait that nobody ends. */
function pauseSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** The context of the running process. */
export function processContext(): Context {
  const process: { exitCode?: number } & Pick<Context["process"], "stdout" | "stderr"> = {
    stdout: textOutput(Deno.stdout, 1),
    stderr: textOutput(Deno.stderr, 2),
  };
  return {
    process,
    background: { stdout: Deno.stdout, stderr: Deno.stderr },
    colours: !Deno.noColor,
    command: [],
    readStdin: async () => {
      const { collectBounded } = await import("./policy_input.ts");
      return await collectBounded(Deno.stdin.readable);
    },
    exitWith(status) {
      process.exitCode = status;
    },
    exitNow: (status) => Deno.exit(status),
  };
}
