/**
 * Where Bargate's own files are.
 *
 * @module
 */

/**
 * A file of Bargate's, by its path in the file system: that of an address has `%20` where the other has
 * a space.
 *
 * @param name path below the folder that has `cmd/`; empty: that folder
 *
 * @example
 * ```ts
 * import { ownFile } from "./own_file.ts";
 *
 * if (!ownFile("README.md").endsWith("/README.md")) throw new Error("wrong");
 * ```
 */
export function ownFile(name: string): string {
  return decodeURIComponent(new URL(`../${name}`, import.meta.url).pathname);
}
