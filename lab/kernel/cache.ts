/** Kernels that were built before. @module */
import { fileHash, textHash } from "../file_hash.ts";
import { join } from "../path.ts";

/** A kernel, ready to boot. */
export interface Kernel {
  /** Path of the bzImage. */
  readonly image: string;
  /** Folder with the user-space headers (`linux/vfio.h`), where they are known. */
  readonly headers: string | undefined;
}

/** What `built.json` says of a cached kernel. */
export interface BuiltRecord {
  readonly source: string;
  readonly version: string;
  readonly sourceSha256: string;
  readonly fragmentSha256: string;
  readonly imageSha256: string;
  readonly configSha256: string;
}

/**
 * @param version of the source package
 * @param fragment text of the options
 * @returns name of the cache's folder for the two
 */
export function cacheKey(version: string, fragment: string): string {
  return `${version.replaceAll(/[^\w.+~-]/g, "_")}-${textHash(fragment).slice(0, 12)}`;
}

/** Names of what a cached kernel consists of. */
export const CACHED = {
  image: "bzImage",
  headers: "headers",
  config: "config",
  record: "built.json",
} as const;

/**
 * Looks for a kernel with these options. The newest version wins; one whose image or configuration
 * is not what was built is passed over.
 *
 * @param cache the cache's folder
 * @param fragment text of the options
 * @returns the kernel, if there is one
 */
export async function findCached(cache: string, fragment: string): Promise<Kernel | undefined> {
  const ending = `-${textHash(fragment).slice(0, 12)}`;
  const folders = (await foldersIn(cache)).filter((name) => name.endsWith(ending));
  const newestFirst = folders.toSorted((a, b) => b.localeCompare(a, "en", { numeric: true }));
  for (const name of newestFirst) {
    const folder = join(cache, name);
    if (await isIntact(folder, fragment)) {
      return { image: join(folder, CACHED.image), headers: join(folder, CACHED.headers) };
    }
  }
  return undefined;
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function isIntact(folder: string, fragment: string): Promise<boolean> {
  try {
    const record: BuiltRecord = JSON.parse(await Deno.readTextFile(join(folder, CACHED.record)));
    return record.fragmentSha256 === textHash(fragment) &&
      record.imageSha256 === await fileHash(join(folder, CACHED.image)) &&
      record.configSha256 === await fileHash(join(folder, CACHED.config));
  } catch (error) {
    // a file that is missing or cut off is a kernel to build again
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return false;
    throw error;
  }
}
