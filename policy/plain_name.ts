/**
 * Names of files as they are compared.
 *
 * @module
 */

/**
 * One file can be given as `a.yaml`, `./a.yaml`, `.//a.yaml` or `b/../a.yaml`.
 *
 * @example
 * ```ts
 * import { plainName } from "./plain_name.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(plainName("./m//./x/../a.yaml"), "m/a.yaml");
 * assert.equal(plainName("x/../../a.yaml"), "../a.yaml");
 * assert.equal(plainName("/../a.yaml"), "/a.yaml");
 * ```
 */
export function plainName(file: string): string {
  const root = file.startsWith("/") ? "/" : "";
  const parts: string[] = [];
  for (const part of file.split("/")) {
    if (part === "" || part === ".") continue;
    const upwards = part === ".." && parts.at(-1) !== ".." && parts.length > 0;
    if (upwards) parts.pop();
    else if (part !== ".." || root === "") parts.push(part);
  }
  return root + parts.join("/");
}

/**
 * The plain name of a file that another one names by its path from there.
 *
 * @param file that names it
 * @param path as it stands there
 */
export function fileBeside(file: string, path: string): string {
  return plainName(path.startsWith("/") ? path : file.slice(0, file.lastIndexOf("/") + 1) + path);
}
