/**
 * Output files that are none of the input files.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/**
 * Refuses to write where something is read from: what was reviewed would be gone.
 *
 * @param out path of the output; absent or `-`: there is no file
 * @param what is to be written, for messages
 * @param inputs paths that are read, `-` for standard input; absent ones are none
 * @throws {CommandError} usage: the output is one of them, by this name or another
 */
export function refuseInput(
  out: string | undefined,
  what: string,
  inputs: readonly (string | undefined)[],
): void {
  if (out === undefined || out === "-") return;
  const file = identityOf(out);
  if (file === undefined) return;
  const same = inputs.find((path) => path !== undefined && identityOf(fileOf(path)) === file);
  if (same === undefined) return;
  throw new CommandError(
    `Cannot write ${what} to ${out}: it is read here (as ${same}); name another file`,
    ExitStatus.usage,
  );
}

function fileOf(path: string): string {
  return path === "-" ? "/dev/stdin" : path;
}

/** @returns what two names of one file have in common; undefined: there is none, or none to tell */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return ino === null ? undefined : `${dev}:${ino}`;
  } catch (error) {
    // What cannot be read, or not be written to, is told by who reads and writes.
    if (error instanceof Error) return undefined;
    throw error;
  }
}
