/**
 * Finds a program as a shell would.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";

/**
 * @param program a path with a slash, or a name to be found in `PATH`
 * @returns an absolute path of an executable file
 * @throws {CommandError} usage: there is none
 */
export async function findProgram(program: string): Promise<string> {
  const folders = (Deno.env.get("PATH") ?? "/usr/bin:/bin").split(":");
  const paths = program.includes("/")
    ? [program.startsWith("/") ? program : `${Deno.cwd()}/${program}`]
    : folders.map((folder) => `${folder === "" ? Deno.cwd() : folder}/${program}`);
  const found = await Promise.all(paths.map(lookAt));
  const index = found.indexOf("executable");
  const path = paths[index];
  if (path !== undefined) return path;
  const other = found.some((what) => what === "other");
  throw new CommandError(
    other
      ? `Cannot start ${JSON.stringify(program)}: it is no executable file`
      : `Cannot find program ${JSON.stringify(program)}`,
    ExitStatus.usage,
  );
}

const ANY_EXECUTE = 0o111;

async function lookAt(path: string): Promise<"executable" | "other" | "absent"> {
  try {
    const { isFile, mode } = await Deno.stat(path);
    return isFile && ((mode ?? 0) & ANY_EXECUTE) !== 0 ? "executable" : "other";
  } catch (error) {
    const elsewhere = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory ||
      error instanceof Deno.errors.PermissionDenied;
    if (elsewhere) return "absent";
    throw new CommandError(
      `Cannot look at ${path}: ${fileTrouble(error, "read")}`,
      ExitStatus.usage,
    );
  }
}
