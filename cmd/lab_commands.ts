/**
 * Commands for a shell in the laboratory's guest, from a standard input that is no terminal.
 *
 * @module
 */
import { withLimit } from "../lab/limit.ts";
import type { LabOutput } from "../lab/output.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { collectBounded } from "./policy_input.ts";

const MAX_BYTES = 2 ** 20;
const READ_LIMIT_MS = 10 * 60_000;

/**
 * Reads standard input to its end: the guest gets all of it at once.
 *
 * @param progress where to say so
 * @param input standard input, replaceable for tests
 * @returns the commands
 * @throws CommandError usage: there are none, or too many
 * @throws LabError when it does not end in time
 */
export async function readCommands(
  progress: LabOutput,
  input: ReadableStream<Uint8Array> = Deno.stdin.readable,
): Promise<Uint8Array> {
  progress.line("Standard input is no terminal: reading the shell's commands from it");
  const commands = await withLimit(
    collectBounded(input, MAX_BYTES),
    READ_LIMIT_MS,
    "the end of standard input",
  );
  if (commands.length > MAX_BYTES) throw refused("standard input has more than 1 MiB of commands");
  if (!/\S/.test(new TextDecoder().decode(commands))) {
    throw refused("standard input is no terminal and has no commands");
  }
  return commands;
}

function refused(why: string): CommandError {
  return new CommandError(`Cannot open a shell in the guest: ${why}`, ExitStatus.usage);
}
