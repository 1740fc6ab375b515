/**
 * Waits for policy files to change.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { fileTrouble } from "./file_trouble.ts";
import { isThere } from "./is_there.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

/** Editors write in several steps; what comes within this time is one change, milliseconds. */
const SETTLE_MS = 50;
/**
 * How long until files are looked at although nothing was heard: of links that lead elsewhere, of
 * folders that were moved, and of file systems on other machines nothing is. Milliseconds.
 */
const LOOK_MS = 1000;
/** Looking takes at most this part of the time, however many the files are. */
const LOOK_SHARE = 1 / 20;

/** What is done with changes, and with what stands in their way. */
export interface WatchActions {
  /** Gets the files that changed, each once; none the first time, or where they cannot be read. */
  readonly check: (changed: readonly string[]) => Promise<void>;
  /** Takes a sentence for people. */
  readonly tell: (text: string) => void;
}

/**
 * Checks at once, and again whenever what the paths mean has changed: not by what was heard of it,
 * but by what is read. Ends only when the process does.
 *
 * @param paths files, folders and patterns
 * @throws {CommandError} usage: at the beginning a path cannot be read
 */
export async function watchFiles(paths: readonly string[], actions: WatchActions): Promise<void> {
  const { check, tell } = actions;
  let known = await read(paths);
  const stirring = new Stirring(paths, tell);
  let problem: string | undefined;
  await check([]);
  for (;;) {
    const start = performance.now();
    const now = await look(paths);
    const took = performance.now() - start;
    const changed = now.files === undefined ? [] : differences(known, now.files);
    if (changed.length > 0 || now.problem !== problem) {
      known = now.files ?? known;
      problem = now.problem;
      await check(changed);
      stirring.renew();
    }
    await stirring.wait(Math.max(LOOK_MS, took / LOOK_SHARE));
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
}

/** Files by their names. */
type Contents = ReadonlyMap<string, Uint8Array>;

async function read(paths: readonly string[]): Promise<Contents> {
  const files = await readPolicyFiles(paths, () => Promise.reject(new Error("not watched")));
  return new Map(files.map(({ file, bytes }: PolicyFile) => [file, bytes]));
}

/** A file that is just being replaced may be away for a moment. */
async function look(
  paths: readonly string[],
): Promise<{ readonly files?: Contents; readonly problem?: string }> {
  try {
    return { files: await read(paths) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { problem: error.message };
  }
}

function differences(before: Contents, after: Contents): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => !areEqual(before.get(name), after.get(name))).sort();
}

function areEqual(some: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (some === undefined || other === undefined || some.length !== other.length) return false;
  return some.every((byte, index) => byte === other[index]);
}

/** Hears when something may have changed. */
class Stirring {
  readonly #paths: readonly string[];
  readonly #tell: WatchActions["tell"];
  #watchers: readonly Deno.FsWatcher[] = [];
  #stirred = false;
  #wake: (() => void) | undefined;
  #told = new Set<string>();

  constructor(paths: readonly string[], tell: WatchActions["tell"]) {
    this.#paths = paths;
    this.#tell = tell;
    this.renew();
  }

  /** What was there may be another now: listens to that. */
  renew(): void {
    for (const watcher of this.#watchers) watcher.close();
    const places = this.#paths.map(placeOf);
    this.#watchers = [true, false].flatMap((recursive) => {
      const folders = places.flatMap((place) => place.recursive === recursive ? place.folder : []);
      return folders.length === 0 ? [] : this.#open([...new Set(folders)], recursive);
    });
  }

  #open(folders: readonly string[], recursive: boolean): readonly Deno.FsWatcher[] {
    try {
      const watcher = Deno.watchFs([...folders], { recursive });
      this.#listen(watcher).catch((error) => this.#deaf(folders, error));
      return [watcher];
    } catch (error) {
      this.#deaf(folders, error);
      return [];
    }
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    for await (const { kind } of watcher) {
      if (kind === "access") continue;
      this.#stirred = true;
      this.#wake?.();
    }
  }

  #deaf(folders: readonly string[], error: unknown): void {
    const text = `Cannot listen for changes of ${folders.join(", ")}: ${
      fileTrouble(error, "read")
    }. The files are looked at every second instead.`;
    if (!this.#told.has(text)) this.#tell(text);
    this.#told.add(text);
  }

  /** @param ms at most */
  async wait(ms: number): Promise<void> {
    if (!this.#stirred) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, ms);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#stirred = false;
  }
}

/** Where changes of a path would be heard of; nowhere while there is nothing. */
function placeOf(
  path: string,
): { readonly folder: readonly string[]; readonly recursive: boolean } {
  const parts = path.split("/");
  const pattern = isThere(path) ? -1 : parts.findIndex((part) => /[*?[]/.test(part));
  const folder = pattern < 0 ? path : folderOf(parts.slice(0, pattern));
  if (!isFolder(folder)) {
    const parent = folderOf(folder.split("/").slice(0, -1));
    return { folder: isFolder(parent) ? [parent] : [], recursive: false };
  }
  return { folder: [folder], recursive: true };
}

function folderOf(parts: readonly string[]): string {
  if (parts.length === 0) return ".";
  return parts.join("/") || "/";
}

/** What may not be looked at could be one: listening to it then says that it may not be. */
function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    if (error instanceof Deno.errors.NotCapable) return true;
    throw error;
  }
}
