/**
 * Strings as C has them: bytes up to a NUL.
 *
 * @module
 */

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();
/** UTF-16 code units: as long as a path can be. */
const PASSING_LENGTH = 4096;
const PASSING = new Uint8Array(new ArrayBuffer(3 * PASSING_LENGTH + 1));
/** Bytes. */
const SHORT = 12;
const NOT_ASCII = 0x80;

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
 * The same in a buffer that the next call of this writes over: for a C function that takes one string
 * and keeps none.
 *
 * @param text what to pass
 * @returns bytes that begin with those of the text and a NUL
 * @throws {TypeError} as {@linkcode toCString}
 */
export function toPassingCString(text: string): Uint8Array<ArrayBuffer> {
  if (text.length > PASSING_LENGTH || text.includes("\0")) return toCString(text);
  const { written } = ENCODER.encodeInto(text, PASSING);
  PASSING[written] = 0;
  return PASSING;
}

/**
 * Some bytes as text. A decoder takes longer to start than most names and attributes are long.
 *
 * @param bytes that have the text
 * @param from its first byte
 * @param to behind its last byte
 * @returns the text; bytes that are no UTF-8 become U+FFFD
 */
export function textOf(bytes: Uint8Array, from: number, to: number): string {
  if (to - from > SHORT) return DECODER.decode(bytes.subarray(from, to));
  let text = "";
  for (let at = from; at < to; at++) {
    const code = bytes[at] ?? NOT_ASCII;
    if (code >= NOT_ASCII) return DECODER.decode(bytes.subarray(from, to));
    text += String.fromCharCode(code);
  }
  return text;
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
