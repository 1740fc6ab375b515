/**
 * How much to write at a time, so that a write that is refused can be made again.
 *
 * The runtime's standard output has a line buffer of its own. When a stream that somebody has made
 * non-blocking takes only a part of a write, the rest can be in that buffer while the write is
 * reported as refused; making it again would repeat text. A pipe takes up to 4096 bytes whole or not
 * at all (PIPE_BUF, pipe(7)), and the buffer keeps nothing of what ends with a newline, or is at
 * least as long as the buffer itself.
 *
 * @module
 */

/** PIPE_BUF on Linux, and more than the runtime's line buffer of 1024. */
const CHUNK = 4096;
const NEWLINE = 10;

/**
 * What to write first.
 *
 * @param bytes what is to be written, at least one
 * @returns whole lines as far as they fit, or a part of one line that is too long
 *
 * @example
 * ```ts
 * import { firstChunk } from "./chunk.ts";
 * import assert from "node:assert/strict";
 *
 * const bytes = new TextEncoder().encode(`${"a".repeat(3000)}\n${"b".repeat(3000)}\n`);
 * assert.equal(firstChunk(bytes).length, 3001);
 * ```
 */
export function firstChunk(bytes: Uint8Array): Uint8Array {
  const chunk = bytes.subarray(0, CHUNK);
  const newline = chunk.lastIndexOf(NEWLINE);
  return newline < 0 ? chunk : chunk.subarray(0, newline + 1);
}
