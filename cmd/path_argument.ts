/**
 * Paths on the command line.
 *
 * @module
 */

/**
 * Takes an argument for a path, unless it looks like an option: the command-line library lets some
 * unknown options through as arguments, and a mistyped option must never be ignored.
 *
 * @throws {Error} when it starts with a dash and is not `-` alone
 *
 * @example
 * ```ts
 * import { pathArgument } from "./path_argument.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(pathArgument("-"), "-");
 * assert.throws(() => pathArgument("--x"));
 * ```
 */
export function pathArgument(text: string): string {
  if (text === "-" || !text.startsWith("-")) return text;
  throw new Error(`Cannot find the option ${text} (write ./${text} if it is a file)`);
}
