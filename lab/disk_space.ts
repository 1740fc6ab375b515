/** @module */
import { statfsSync } from "node:fs";
import { LabError } from "./lab_error.ts";

/**
 * @param folder on the file system in question
 * @param bytes how much is needed
 * @param what what for
 * @throws LabError when there is less
 */
export function requireSpace(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  throw new LabError(
    `Cannot ${what}: ${folder} has ${gib(bavail * bsize)} free, ${gib(bytes)} are needed`,
    { fix: "free some space, or name another place with XDG_CACHE_HOME" },
  );
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
