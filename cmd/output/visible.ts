/**
 * Text that cannot play tricks on a terminal or on a reader.
 *
 * @module
 */

const HIDDEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Replaces control and hidden characters (escape sequences and bidirectional marks among them) by
 * their code points.
 *
 * @example
 * ```ts
 * import { visible } from "./visible.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(visible("a\u202eb"), "a<U+202E>b");
 * ```
 */
export function visible(text: string): string {
  return text.replace(HIDDEN, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    return `<U+${code}>`;
  });
}
