/**
 * Whether something is at a path.
 *
 * @module
 */

/**
 * Looks, without following a link at the end of the path.
 *
 * @param path to look at
 * @throws {Error} the runtime's, if that cannot be told
 *
 * @example
 * ```ts
 * import { isThere } from "./is_there.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(["/", "/dev/null/x"].map(isThere), [true, false]);
 * ```
 */
export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}
