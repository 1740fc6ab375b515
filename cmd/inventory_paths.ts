/**
 * From the values of `--inventory` to the files of hosts that they mean.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { expandGlob } from "./expand_globs.ts";
import { fileTrouble } from "./file_trouble.ts";
import { isThere } from "./is_there.ts";
import type { PolicyFile } from "./policy_input.ts";

/** Below a folder, whatever the case of its ending: a host that is left out could be one that is not ready. */
const BELOW = "**/*.[jJ][sS][oO][nN]";

/**
 * The inventories that are meant, as policies are: folders and patterns stand for what is in them.
 *
 * @param given files, also such as cannot be read; folders, of which all `*.json` below are meant,
 * hidden ones left out; patterns as in shells
 * @returns paths, in the order of what was given
 * @throws {CommandError} usage: folders and patterns that stand for nothing
 */
export function inventoryPaths(given: readonly string[]): readonly string[] {
  const problems: string[] = [];
  const paths = given.flatMap((path) => meantBy(path, problems));
  if (problems.length > 0) throw new CommandError(problems, ExitStatus.usage);
  return paths;
}

function meantBy(path: string, problems: string[]): readonly string[] {
  try {
    const folder = isFolder(path);
    if (!folder && (!/[*?[]/.test(path) || isThere(path))) return [path];
    const found = expandGlob(folder ? below(path) : path).filter((one) => !isFolder(one));
    if (found.length === 0) problems.push(nothingIn(path, folder));
    return found;
  } catch (error) {
    problems.push(`Cannot read the inventories ${path}: ${fileTrouble(error, "read")}`);
    return [];
  }
}

function nothingIn(path: string, folder: boolean): string {
  return folder
    ? `Cannot find an inventory in ${path}: no *.json is below it`
    : `Cannot find a file that matches ${path}`;
}

/** What is no pattern to the one who gave it is none. */
function below(folder: string): string {
  return `${folder.replace(/[*?[]/g, "[$&]").replace(/\/+$/, "")}/${BELOW}`;
}

/** What is not there, or cannot be looked at, is told by who reads it. */
function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}

/** How far into a file its kind is looked for, in bytes. */
const HEAD_BYTES = 4096;

/**
 * Refuses inventories where policies are meant: a shell gives all files of a pattern but the first so.
 *
 * @param files that were given as policies
 * @throws {CommandError} usage: naming the first of them
 */
export function refuseInventories(files: readonly PolicyFile[]): void {
  const found = files.filter(({ bytes }) => isInventory(bytes));
  const [first] = found;
  if (first === undefined) return;
  const more = found.length === 1 ? "" : ` and ${found.length - 1} more`;
  throw new CommandError(
    `Cannot take ${first.file}${more} for policies: a HostSnapshot is a host's inventory (repeat --inventory before each file, name their folder, or quote a pattern, so that the shell leaves it alone: --inventory 'hosts/*.json')`,
    ExitStatus.usage,
  );
}

function isInventory(bytes: Uint8Array): boolean {
  const head = new TextDecoder().decode(bytes.subarray(0, HEAD_BYTES));
  return /^\s*\{/.test(head) && /"kind"\s*:\s*"HostSnapshot"/.test(head);
}
