/** Fetches a package, of which the hash is known, and says how far it is. @module */
import { requireSpace } from "../disk_space.ts";
import { exec } from "../exec.ts";
import { exists } from "../exists.ts";
import { fileHash } from "../file_hash.ts";
import { LabError } from "../lab_error.ts";
import type { LabOutput } from "../output.ts";
import { dirname } from "../path.ts";

/** Unlike `apt-get download`, it goes on with what is there of a file. */
export const APT_HELPER = "/usr/lib/apt/apt-helper";

const LIMIT_MS = 60 * 60_000;
const LOOK_EVERY_MS = 500;
const MEGABYTE = 1e6;

/** A package to fetch. */
export interface Wanted {
  /** `linux-source-7.3`. */
  readonly name: string;
  readonly version: string;
  readonly uri: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Where the package appears, whole and with the right hash. */
  readonly path: string;
}

/**
 * Fetches a package, unless it is there and is what it should be. What an earlier run has left of it is
 * gone on with; if the whole then turns out to be wrong, it is fetched anew, once.
 *
 * @param wanted which, from where, to where
 * @param apt options of apt
 * @param output where to say how far it is
 * @throws LabError when there is no space or no network, or when what comes has another hash
 */
export async function download(
  wanted: Wanted,
  apt: readonly string[],
  output: LabOutput,
): Promise<void> {
  if (await isWhole(wanted.path, wanted)) return;
  const had = await usablePart(wanted);
  const { name, version, bytes } = wanted;
  requireSpace(dirname(wanted.path), bytes - had, `fetch ${name}`);
  const size = `${megabytes(bytes)} MB`;
  output.line(
    had === 0
      ? `Fetching ${name} ${version} (${size})`
      : `Going on with ${name} ${version} (${megabytes(had)} of ${size} are there)`,
  );
  if (await fetchOnce(wanted, apt, output)) return;
  if (had > 0) {
    output.line(`What was there of ${name} was damaged: fetching it anew`);
    if (await fetchOnce(wanted, apt, output)) return;
  }
  throw new LabError(
    `Cannot use ${name}: what ${wanted.uri} sends has another hash than its list`,
    {
      fix: "start again later, or name another mirror in this machine's apt sources",
    },
  );
}

function partOf({ path }: Wanted): string {
  return `${path}.part`;
}

/** @returns how many bytes of it are there that can be gone on with */
async function usablePart(wanted: Wanted): Promise<number> {
  const part = partOf(wanted);
  const had = await sizeOf(part);
  if (had < wanted.bytes) return had;
  // whole, and yet not put in its place: either it is right, or nothing of it is known to be
  if (!await isWhole(part, wanted)) await removeIfThere(part);
  return await sizeOf(part);
}

/** @returns whether it is there now and is right; if not, nothing is left of it */
async function fetchOnce(
  wanted: Wanted,
  apt: readonly string[],
  output: LabOutput,
): Promise<boolean> {
  const part = partOf(wanted);
  try {
    if (await sizeOf(part) < wanted.bytes) await fetchPart(wanted, apt, output);
  } catch (error) {
    // apt gives a file another name if its hash is wrong
    if (!await exists(`${part}.FAILED`)) throw error;
  }
  if (await isWhole(part, wanted)) {
    await Deno.rename(part, wanted.path);
    return true;
  }
  for (const path of [part, `${part}.FAILED`]) await removeIfThere(path);
  return false;
}

async function fetchPart(
  wanted: Wanted,
  apt: readonly string[],
  output: LabOutput,
): Promise<void> {
  const { name, uri, sha256, bytes } = wanted;
  const part = partOf(wanted);
  const show = async () =>
    output.progress(`Fetching ${name}`, Math.min(1, await sizeOf(part) / bytes));
  const looking = setInterval(show, LOOK_EVERY_MS);
  try {
    await exec(
      `fetch ${name}`,
      [APT_HELPER, ...apt, "-q", "download-file", uri, part, `SHA256:${sha256}`],
      {
        limitMs: LIMIT_MS,
        fix: "see that the mirror can be reached, and start again: it goes on with what is there",
      },
    );
  } finally {
    clearInterval(looking);
  }
}

async function isWhole(path: string, { bytes, sha256 }: Wanted): Promise<boolean> {
  return await sizeOf(path) === bytes && await fileHash(path) === sha256;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / MEGABYTE);
}
