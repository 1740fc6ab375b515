/**
 * From the paths on a command line to the policy files they mean.
 *
 * @module
 */
import type { PolicySource } from "../policy/load.ts";
import { MAX_FILE_SIZE } from "../policy/source.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import { isThere } from "./is_there.ts";

/** A policy file with its bytes. */
export type PolicyFile = PolicySource & { readonly bytes: Uint8Array };

/** Files read so far, by identity, so that one given twice is read once. */
interface Collected {
  readonly files: PolicyFile[];
  readonly seen: Set<string>;
  readonly problems: string[];
}

/**
 * Reads policy files.
 *
 * @param paths files; folders, of which all `*.yaml` and `*.yml` below are read, in order of their
 * names, hidden ones left out; patterns as in shells; `-` for standard input
 * @param readStdin gives all of standard input
 * @throws {CommandError} usage: naming every path that cannot be read
 */
export async function readPolicyFiles(
  paths: readonly string[],
  readStdin: () => Promise<Uint8Array>,
): Promise<readonly PolicyFile[]> {
  const collected: Collected = { files: [], seen: new Set(), problems: [] };
  for (const path of paths) {
    if (path === "-") await addStdin(collected, readStdin);
    else await addPath(path, collected);
  }
  if (collected.problems.length > 0) {
    throw new CommandError(collected.problems, ExitStatus.usage);
  }
  return collected.files;
}

async function addStdin(collected: Collected, readStdin: () => Promise<Uint8Array>): Promise<void> {
  if (collected.seen.has("-")) return;
  collected.seen.add("-");
  collected.files.push({ file: "-", bytes: await readStdin() });
}

/** A path that is there is meant as it is, whatever characters it has. */
async function addPath(path: string, collected: Collected): Promise<void> {
  for (const found of await meantBy(path, collected)) await addNamed(found, collected);
}

/** @returns the paths that a path or pattern stands for; where there are none, it is told why */
async function meantBy(path: string, { problems }: Collected): Promise<readonly string[]> {
  try {
    if (!isPattern(path) || isThere(path)) return [path];
    const { expandGlob } = await import("./expand_globs.ts");
    const paths = expandGlob(path);
    if (paths.length === 0) problems.push(`Cannot find a file that matches ${path}`);
    return paths;
  } catch (error) {
    problems.push(unreadable(path, error));
    return [];
  }
}

/** Whether a path could be meant as a pattern. */
function isPattern(path: string): boolean {
  return /[*?[]/.test(path);
}

async function addNamed(path: string, collected: Collected): Promise<void> {
  try {
    const info = Deno.statSync(path);
    if (!firstTime(info, collected)) return;
    if (!info.isDirectory) {
      collected.files.push({ file: path, bytes: await readBounded(path, info) });
      return;
    }
    const before = collected.files.length + collected.problems.length;
    await addFolder(path, collected);
    if (collected.files.length + collected.problems.length === before) {
      collected.problems.push(`Cannot find a policy in ${path}: no *.yaml or *.yml is below it`);
    }
  } catch (error) {
    collected.problems.push(unreadable(path, error));
  }
}

/** Whether this file or folder has not been met before, under any name. */
function firstTime({ dev, ino }: Deno.FileInfo, { seen }: Collected): boolean {
  if (ino === null) return true;
  const identity = `${dev}:${ino}`;
  if (seen.has(identity)) return false;
  seen.add(identity);
  return true;
}

async function addFolder(folder: string, collected: Collected): Promise<void> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  for (const name of names.filter((name) => !name.startsWith(".")).sort()) {
    await addBelow(`${folder.replace(/\/+$/, "")}/${name}`, collected);
  }
}

async function addBelow(path: string, collected: Collected): Promise<void> {
  try {
    const info = Deno.statSync(path);
    if (!info.isDirectory && !/\.ya?ml$/.test(path)) return;
    if (!firstTime(info, collected)) return;
    if (info.isDirectory) await addFolder(path, collected);
    else collected.files.push({ file: path, bytes: await readBounded(path, info) });
  } catch (error) {
    collected.problems.push(unreadable(path, error));
  }
}

/**
 * Reads no more than shows that the file is too large: it could be a device without end. Streams
 * and threads take milliseconds to start, so a plain file of a plain size is read at once, in place.
 */
async function readBounded(path: string, info: Deno.FileInfo): Promise<Uint8Array> {
  if (info.isFile && info.size <= MAX_FILE_SIZE) return Deno.readFileSync(path);
  const file = await Deno.open(path);
  return await collectBounded(file.readable);
}

/**
 * Collects a stream up to a limit, and a little more, which shows that it was exceeded.
 *
 * @param stream what to collect
 * @param limit bytes; default: that of policy files
 */
export async function collectBounded(
  stream: ReadableStream<Uint8Array>,
  limit: number = MAX_FILE_SIZE,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function unreadable(path: string, error: unknown): string {
  return `Cannot read ${path}: ${fileTrouble(error, "read")}`;
}
