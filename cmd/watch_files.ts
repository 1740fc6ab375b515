/**
 * Waits for files to change.
 *
 * @module
 */

/** Editors write in several steps; what comes within this time is one change, milliseconds. */
const SETTLE_MS = 50;

/**
 * Runs something at once, and again whenever one of the paths, or what is below it, changes; ends
 * only when the process does.
 *
 * @param paths files and folders
 * @param onChange gets the paths that changed, each once; none the first time
 */
export async function watchFiles(
  paths: readonly string[],
  onChange: (changed: readonly string[]) => Promise<void>,
): Promise<void> {
  // An editor may replace a file by another of its name: watching the folder sees both.
  const folders = [...new Set(paths.map(watched))];
  using watcher = Deno.watchFs(folders, { recursive: true });
  const changed = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Only now: what changes while the first run reads must not be missed.
  let running = onChange([]);
  for await (const event of watcher) {
    if (event.kind === "access") continue;
    for (const path of event.paths) if (/\.ya?ml$/.test(path)) changed.add(path);
    if (changed.size === 0 || timer !== undefined) continue;
    timer = setTimeout(() => {
      timer = undefined;
      const batch = [...changed].sort();
      changed.clear();
      running = running.then(() => onChange(batch));
    }, SETTLE_MS);
  }
}

function watched(path: string): string {
  const info = Deno.statSync(path);
  if (info.isDirectory) return path;
  const at = path.lastIndexOf("/");
  return at < 0 ? "." : path.slice(0, at) || "/";
}
