/** @module */
import { statfsSync } from "node:fs";
import { LabError } from "./lab_error.ts";

/** What to do where the place of kernels is too small. */
const ROOM_FOR_CACHE = "free some space, or name another place with XDG_CACHE_HOME";
/** What to do where the place of what lasts for one run is too small. */
export const ROOM_FOR_TEMPORARY = "free some space, or name another place with TMPDIR";

/**
 * @param folder on the file system in question
 * @param bytes how much is needed
 * @param what what for
 * @param fix what to do where there is less
 * @throws LabError when there is less
 */
export function requireSpace(
  folder: string,
  bytes: number,
  what: string,
  fix = ROOM_FOR_CACHE,
): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  throw new LabError(
    `Cannot ${what}: ${folder} has ${amount(bavail * bsize)} free, ${amount(bytes)} are needed`,
    { fix },
  );
}

function amount(bytes: number): string {
  if (bytes < 2 ** 30) return `${Math.floor(bytes / 2 ** 20)} MiB`;
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
