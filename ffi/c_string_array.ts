/**
 * Arrays of strings as C has them: pointers, the last of them NULL.
 *
 * @module
 */
import { addressOf } from "./address.ts";
import { toCString } from "./c_string.ts";

const POINTER = 8;

/**
 * `char *const array[]`, strings and pointers in one piece of memory, so that who keeps the result
 * keeps it all.
 *
 * @param texts the strings
 * @returns memory that starts with the pointers
 * @throws {TypeError} if one has a NUL inside
 */
export function toCStringArray(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const strings = texts.map(toCString);
  const pointers = POINTER * (strings.length + 1);
  const length = strings.reduce((sum, string) => sum + string.length, pointers);
  const memory = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(memory.buffer);
  const base = addressOf(memory);
  let at = pointers;
  strings.forEach((string, index) => {
    memory.set(string, at);
    view.setBigUint64(POINTER * index, base + BigInt(at), true);
    at += string.length;
  });
  return memory;
}
