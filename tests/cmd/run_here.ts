/**
 * Runs verbs in the process of the test: a tenth of the time of a process of its own. For what a verb
 * answers; what it needs (rights, a working folder, streams of the system) is asked of `run_verb.ts`.
 */
import "../../ffi/preload.ts";
import type { Context } from "../../cmd/context.ts";
import { errorText } from "../../cmd/error_text.ts";
import { exitStatusOf } from "../../cmd/errors.ts";
import { main } from "../../cmd/main.ts";
import type { Answer, RunOptions } from "./run_verb.ts";

/** Runs `bargate` with all rights of the test. */
export async function bargate(
  args: readonly string[],
  options: Pick<RunOptions, "stdin"> = {},
): Promise<Answer> {
  const written = { stdout: "", stderr: "" };
  const output = (name: keyof typeof written) => ({
    isTerminal: false,
    write: (text: string) => void (written[name] += text),
  });
  const inBackground = (name: keyof typeof written) => ({
    write: (bytes: Uint8Array) => {
      written[name] += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    },
  });
  const process: Context["process"] = { stdout: output("stdout"), stderr: output("stderr") };
  const context: Context = {
    process,
    background: { stdout: inBackground("stdout"), stderr: inBackground("stderr") },
    colours: false,
    command: [],
    readStdin: () => Promise.resolve(new TextEncoder().encode(options.stdin ?? "")),
    exitWith: (status) => void (process.exitCode = status),
    exitNow: (status) => {
      throw new Error(`the verb ended the process with status ${status}`);
    },
  };
  try {
    return { status: await main(args, context), ...written };
  } catch (error) {
    written.stderr += `${errorText(error)}\n`;
    return { status: exitStatusOf(error), ...written };
  }
}
