/**
 * Characters that people cannot see, or that change how others are shown: controls, formats
 * (bidirectional marks among them), lone surrogates, and line ends that only some readers know.
 *
 * @module
 */

/** One such character in a text. */
export interface HiddenCharacter {
  readonly start: number;
  readonly end: number;
  /** `U+202E` */
  readonly name: string;
}

/** A text of ASCII alone is seen to hide nothing before the classes of all of Unicode are built. */
const SUSPICIOUS = /[^\t\n\r\x20-\x7e]/;
const HIDDEN = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Finds them in order.
 *
 * @example
 * ```ts
 * import { hiddenIn } from "./hidden.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual([...hiddenIn("a\u202eb")], [{ start: 1, end: 2, name: "U+202E" }]);
 * ```
 */
export function* hiddenIn(text: string): Generator<HiddenCharacter, undefined> {
  if (!SUSPICIOUS.test(text)) return;
  for (const { 0: character, index } of text.matchAll(HIDDEN)) {
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    yield { start: index, end: index + character.length, name: `U+${code}` };
  }
}
