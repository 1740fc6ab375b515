/**
 * Finds a program as a shell would.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/**
 * @param program a path with a slash, or a name to be found in `PATH`
 * @returns an absolute path of something that is there
 * @throws {CommandError} usage: there is none
 */
export async function findProgram(program: string): Promise<string> {
  const folders = (Deno.env.get("PATH") ?? "/usr/bin:/bin").split(":");
  const paths = program.includes("/")
    ? [program.startsWith("/") ? program : `${Deno.cwd()}/${program}`]
    : folders.map((folder) => `${folder === "" ? Deno.cwd() : folder}/${program}`);
  for (const path of paths) {
    if (await isFile(path)) return path;
  }
  throw new CommandError(`Cannot find program ${JSON.stringify(program)}`, ExitStatus.usage);
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    const elsewhere = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory ||
      error instanceof Deno.errors.PermissionDenied;
    if (elsewhere) return false;
    throw error;
  }
}
