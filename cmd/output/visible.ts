/**
 * Text that cannot play tricks on a terminal or on a reader, be that a person or a build server that
 * looks for commands at the beginning of lines.
 *
 * @module
 */
import { hidden } from "../../policy/hidden.ts";

/**
 * Replaces control and hidden characters (escape sequences and bidirectional marks among them) by
 * their code points. Line feeds are among them, for a file's name may have some: what is given stays
 * on its line.
 *
 * @example
 * ```ts
 * import { visible } from "./visible.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(visible("a\u202eb\n"), "a<U+202E>b<U+000A>");
 * ```
 */
export function visible(text: string): string {
  return text.replace(hidden(), codePoint);
}

/**
 * The same for text that has lines and tabs of its own. What others named has been made
 * {@linkcode visible} in it before.
 *
 * @example
 * ```ts
 * import { visibleLines } from "./visible.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(visibleLines("a\u202eb\n"), "a<U+202E>b\n");
 * ```
 */
export function visibleLines(text: string): string {
  return text.replace(
    hidden(),
    (found) => found === "\n" || found === "\t" ? found : codePoint(found),
  );
}

function codePoint(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return `<U+${code}>`;
}
