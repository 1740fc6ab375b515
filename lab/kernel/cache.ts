/** Kernels that were built before. @module */
import { exists } from "../exists.ts";
import { fileHash, textHash } from "../file_hash.ts";
import { fileTrouble } from "../../cmd/file_trouble.ts";
import { OTHER_CACHE } from "../folders.ts";
import { LabError } from "../lab_error.ts";
import { join } from "../path.ts";

/** A kernel, ready to boot. */
export interface Kernel {
  /** Path of the bzImage. */
  readonly image: string;
  /** Folder with user-space headers (`linux/vfio.h`). */
  readonly headers: string;
  /** The headers are not known to be that kernel's own. */
  readonly foreignHeaders?: boolean;
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
 * is not what was built, or whose headers are gone, is passed over.
 *
 * @param cache the cache's folder
 * @param fragment text of the options
 * @returns the kernel, if there is one
 */
export async function findCached(cache: string, fragment: string): Promise<Kernel | undefined> {
  const ending = `-${textHash(fragment).slice(0, 12)}`;
  const folders = (await foldersIn(cache)).filter((name) => name.endsWith(ending));
  for (const name of newestFirst(folders)) {
    const folder = join(cache, name);
    if (await isIntact(folder, fragment)) {
      return { image: join(folder, CACHED.image), headers: join(folder, CACHED.headers) };
    }
  }
  return undefined;
}

/**
 * Looks for the headers that were made with an image.
 *
 * @param cache the cache's folder
 * @param image path of the image, which need not be in the cache
 * @returns the folder, if the image is one that was built here
 */
export async function headersOf(cache: string, image: string): Promise<string | undefined> {
  const hash = await fileHash(image);
  for (const name of await foldersIn(cache)) {
    const folder = join(cache, name);
    const record = await readRecord(folder);
    const headers = join(folder, CACHED.headers);
    if (record?.imageSha256 === hash && await hasHeaders(headers)) return headers;
  }
  return undefined;
}

/**
 * @param cache the cache's folder
 * @returns headers of the newest kernel that has some
 */
export async function findAnyHeaders(cache: string): Promise<string | undefined> {
  for (const name of newestFirst(await foldersIn(cache))) {
    const headers = join(cache, name, CACHED.headers);
    if (!name.endsWith(".partial") && await hasHeaders(headers)) return headers;
  }
  return undefined;
}

function newestFirst(names: readonly string[]): readonly string[] {
  return names.toSorted((a, b) => b.localeCompare(a, "en", { numeric: true }));
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    // what is no folder is told where one is to be made
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    const why = fileTrouble(error, "read").split(";")[0];
    throw new LabError(`Cannot look for kernels in ${folder}: ${why}`, { fix: OTHER_CACHE });
  }
}

async function isIntact(folder: string, fragment: string): Promise<boolean> {
  const record = await readRecord(folder);
  const [image, config] = [join(folder, CACHED.image), join(folder, CACHED.config)];
  return record !== undefined && await exists(image) && await exists(config) &&
    await hasHeaders(join(folder, CACHED.headers)) &&
    record.fragmentSha256 === textHash(fragment) &&
    record.imageSha256 === await fileHash(image) &&
    record.configSha256 === await fileHash(config);
}

/** Those that the guest's programs are compiled with; where these are, the others are. */
const PROOFS = ["linux/vfio.h", "linux/iommufd.h"];

/**
 * @param folder that may hold a kernel's user-space headers
 * @returns whether it does
 */
export async function hasHeaders(folder: string): Promise<boolean> {
  const there = await Promise.all(PROOFS.map((proof) => exists(join(folder, proof))));
  return there.every(Boolean);
}

function isRecord(value: unknown): value is BuiltRecord {
  return typeof value === "object" && value !== null && "imageSha256" in value;
}

async function readRecord(folder: string): Promise<BuiltRecord | undefined> {
  try {
    const record: unknown = JSON.parse(await Deno.readTextFile(join(folder, CACHED.record)));
    return isRecord(record) ? record : undefined;
  } catch (error) {
    // a file that is missing or cut off is a kernel to build again
    if (
      error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
      error instanceof SyntaxError
    ) return undefined;
    throw error;
  }
}
