/**
 * What this process has open, in the tables of all its threads: a lane's thread has a table of its own,
 * which `/proc/self/fd` does not show.
 *
 * @module
 */

/**
 * Lists every table once; threads that share one have the same.
 *
 * @returns what the descriptors are, without numbers, sorted; what the listing itself has open is left
 * out
 */
export function openInAllTables(): readonly string[] {
  const threads = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  const tables = new Set(threads.map((thread) => tableOf(`/proc/self/task/${thread}/fd`)));
  return [...tables].flatMap((table) => table === "" ? [] : table.split("\n"))
    .map((line) => line.replace(/^\d+ /, "").replaceAll(/\d+/g, "N")).toSorted();
}

/** One line a descriptor. */
function tableOf(folder: string): string {
  return listed(folder).map(({ name }) => `${name} ${linkOf(`${folder}/${name}`)}`)
    .filter((line) => !line.includes("/proc/")).toSorted().join("\n");
}

/** Threads come and go. */
function listed(folder: string): readonly Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
