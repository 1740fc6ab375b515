/**
 * Strings as C has them: bytes up to a NUL.
 *
 * @module
 */

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/**
 * A string for C.
 *
 * @param text what to pass; UTF-8 in C
 * @returns its bytes and a NUL
 * @throws {TypeError} if it has a NUL inside, which C would take for its end
 */
export function toCString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass a string to C: it contains NUL (received ${quoted(text)})`);
  }
  return ENCODER.encode(`${text}\0`);
}

/**
 * The string at the start of some bytes.
 *
 * @param bytes up to the first NUL, or all of them
 * @returns the text; bytes that are no UTF-8 become U+FFFD
 */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return DECODER.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A string for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
