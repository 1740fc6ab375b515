/**
 * From the paths on a command line to the policy files they mean.
 *
 * @module
 */
import type { PolicySource } from "../policy/load.ts";
import { MAX_FILE_SIZE } from "../policy/source.ts";

/** A policy file with its bytes. */
export type PolicyFile = PolicySource & { readonly bytes: Uint8Array };

/** One that may be met again by another path. */
type CollectedFile = PolicyFile & { readonly names: string[] };

/** What was read so far, so that what is given twice is read once. */
interface Collected {
  /** The paths on the command line. */
  readonly given: readonly string[];
  readonly files: PolicyFile[];
  /** Real paths of folders; `-`. */
  readonly seen: Set<string>;
  readonly byRealPath: Map<string, CollectedFile>;
  /** Files that may have further names on the disk, by their inode. */
  readonly linked: Map<string, CollectedFile[]>;
  readonly problems: string[];
  /** Whether a folder without a policy is one that allows nothing. */
  readonly mayBeEmpty: boolean;
}

/**
 * Reads policy files.
 *
 * @param paths files; folders, of which all `*.yaml` and `*.yml` below are read, in order of their
 * names, hidden ones left out, links followed that lead to what is given or below the current folder;
 * patterns as in shells; `-` for standard input
 * @param readStdin gives all of standard input
 * @param mayBeEmpty whether a folder without a policy is no mistake
 * @throws {CommandError} usage: naming every path that cannot be read
 */
export async function readPolicyFiles(
  paths: readonly string[],
  readStdin: () => Promise<Uint8Array>,
  mayBeEmpty = false,
): Promise<readonly PolicyFile[]> {
  const collected: Collected = {
    given: paths,
    files: [],
    seen: new Set(),
    byRealPath: new Map(),
    linked: new Map(),
    problems: [],
    mayBeEmpty,
  };
  for (const path of paths) {
    if (path === "-") await addStdin(collected, readStdin);
    else await addPath(path, collected);
  }
  if (collected.problems.length > 0) throw await usageError(collected.problems);
  return collected.files;
}

// What a run without a mistake does not need is loaded by those that do.

async function usageError(problems: readonly string[]): Promise<Error> {
  const { CommandError } = await import("./errors.ts");
  const { ExitStatus } = await import("./exit_status.ts");
  return new CommandError(problems, ExitStatus.usage);
}

async function addStdin(collected: Collected, readStdin: () => Promise<Uint8Array>): Promise<void> {
  if (collected.seen.has("-")) return;
  collected.seen.add("-");
  collected.files.push({ file: "-", bytes: await readStdin() });
}

/** A path that is there is meant as it is, whatever characters it has. */
async function addPath(path: string, collected: Collected): Promise<void> {
  for (const found of await meantBy(path, collected)) {
    if (found === path) await addNamed(path, collected);
    else await addBelow(found, undefined, collected);
  }
}

/** @returns the paths that a path or pattern stands for; where there are none, it is told why */
async function meantBy(path: string, { problems }: Collected): Promise<readonly string[]> {
  try {
    if (!isPattern(path) || await isThere(path)) return [path];
    const { expandGlob } = await import("./expand_globs.ts");
    const paths = expandGlob(path);
    if (paths.length === 0) problems.push(`Cannot find a file that matches ${path}`);
    return paths;
  } catch (error) {
    problems.push(await unreadable(path, error));
    return [];
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await import("./is_there.ts")).isThere(path);
}

/** Whether a path could be meant as a pattern. */
function isPattern(path: string): boolean {
  return /[*?[]/.test(path);
}

async function addNamed(path: string, collected: Collected): Promise<void> {
  try {
    const info = Deno.statSync(path);
    if (!info.isDirectory) return await addFile(path, realPathOf(path, info), info, collected);
    const root = Deno.realPathSync(path);
    if (!firstTime(root, collected)) return;
    if (await addFolder(path, root, collected) === 0 && !collected.mayBeEmpty) {
      collected.problems.push(`Cannot find a policy in ${path}: no *.yaml or *.yml is below it`);
    }
  } catch (error) {
    collected.problems.push(await unreadable(path, error));
  }
}

async function addFile(
  path: string,
  realPath: string,
  info: Deno.FileInfo,
  collected: Collected,
): Promise<void> {
  const known = collected.byRealPath.get(realPath);
  if (known !== undefined) return void known.names.push(path);
  const file = { file: path, bytes: await readBounded(path, info), names: [realPath] };
  const linked = sameByLink(file, info, collected);
  linked?.names.push(path, realPath);
  collected.byRealPath.set(realPath, linked ?? file);
  if (linked === undefined) collected.files.push(file);
}

/** A pipe, or a file that was deleted, has no path but the one that was given. */
function realPathOf(path: string, info: Deno.FileInfo): string {
  if (!info.isFile && !info.isDirectory) return path;
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw error;
  }
}

/** Whether this real path has not been met before. */
function firstTime(realPath: string, { seen }: Collected): boolean {
  if (seen.has(realPath)) return false;
  seen.add(realPath);
  return true;
}

/**
 * The file that was read before under another of its names. Inode numbers are doubles here, and on
 * some file systems larger than doubles tell apart: no file is left out for its number alone.
 */
function sameByLink(
  file: CollectedFile,
  { dev, ino, nlink }: Deno.FileInfo,
  { linked }: Collected,
): CollectedFile | undefined {
  if (ino === null || nlink === 1) return undefined;
  const inode = `${dev}:${ino}`;
  const others = linked.get(inode) ?? [];
  const same = others.find(({ bytes }) => areEqual(bytes, file.bytes));
  if (same === undefined) linked.set(inode, [...others, file]);
  return same;
}

function areEqual(some: Uint8Array, other: Uint8Array): boolean {
  return some.length === other.length && some.every((byte, index) => byte === other[index]);
}

/** @returns how many policies and troubles are in the folder, with those that were known before */
async function addFolder(folder: string, root: string, collected: Collected): Promise<number> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  let found = 0;
  for (const name of names.filter((name) => !name.startsWith(".")).sort()) {
    found += await addBelow(`${folder.replace(/\/+$/, "")}/${name}`, root, collected);
  }
  return found;
}

/**
 * What nobody has named: a link could lead to what is nobody's policy, and its text into a message; a
 * FIFO would be waited for.
 *
 * @param root real path of the folder that was named; absent: a pattern was
 */
async function addBelow(
  path: string,
  root: string | undefined,
  collected: Collected,
): Promise<number> {
  try {
    const info = Deno.statSync(path);
    // Whatever the case of its ending: a policy that is left out could be a deny.
    if (!info.isDirectory && root !== undefined && !/\.ya?ml$/i.test(path)) return 0;
    const realPath = realPathOf(path, info);
    const isPlain = root !== undefined && realPath.startsWith(`${root}/`);
    if (!isPlain || !(info.isFile || info.isDirectory)) {
      const { whyStray } = await import("./stray_path.ts");
      const why = whyStray(realPath, info, collected.given);
      if (why !== undefined) return collected.problems.push(`Cannot read ${path}: ${why}`);
    }
    if (!info.isDirectory) await addFile(path, realPath, info, collected);
    else if (!firstTime(realPath, collected)) return 0;
    else return await addFolder(path, root ?? realPath, collected);
  } catch (error) {
    collected.problems.push(await unreadable(path, error));
  }
  return 1;
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

async function unreadable(path: string, error: unknown): Promise<string> {
  const { fileTrouble } = await import("./file_trouble.ts");
  return `Cannot read ${path}: ${fileTrouble(error, "read")}`;
}
