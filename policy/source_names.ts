/**
 * Names of the files of a set: one file has many, and what names it from elsewhere knows any of them.
 *
 * @module
 */

/** A file by its names. */
export interface NamedSource {
  /** As the user gave it. */
  readonly file: string;
  /** What else it is called. */
  readonly names?: readonly string[];
}

/** Finds files by the names that other files of the set have for them. */
export class SourceNames<Source extends NamedSource> {
  readonly #byName = new Map<string, Source>();

  /** @param sources all files of the set */
  constructor(sources: readonly Source[]) {
    // What was given comes before what it is called besides.
    for (const source of sources) this.#name(source, source.file);
    for (const source of sources) {
      for (const name of source.names ?? []) this.#name(source, name);
    }
  }

  #name(source: Source, name: string): void {
    const plain = plainName(name);
    if (!this.#byName.has(plain)) this.#byName.set(plain, source);
  }

  /**
   * Finds a file.
   *
   * @param from the file that names it, as it was given
   * @param path as it stands there: from the root, or from any folder that this file is in
   * @returns nothing when it is not of the set
   */
  find(from: string, path: string): Source | undefined {
    const own = this.#byName.get(plainName(from))?.names ?? [];
    for (const name of [from, ...own]) {
      const source = this.#byName.get(fileBeside(name, path));
      if (source !== undefined) return source;
    }
    return undefined;
  }
}

/**
 * One file can be given as `a.yaml`, `./a.yaml`, `.//a.yaml` or `b/../a.yaml`.
 *
 * @example
 * ```ts
 * import { plainName } from "./source_names.ts";
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
