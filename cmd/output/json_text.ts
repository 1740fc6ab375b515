/**
 * JSON that cannot play tricks on a terminal that it is printed to.
 *
 * @module
 */
import { hidden } from "../../policy/hidden.ts";

/**
 * Like `JSON.stringify`, but with every hidden character escaped: JSON leaves C1 controls and
 * bidirectional marks as they are. Readers get the same value.
 *
 * @param value to write
 * @param indent blanks, for people; absent: one line
 *
 * @example
 * ```ts
 * import { jsonText } from "./json_text.ts";
 * import assert from "node:assert/strict";
 *
 * const text = jsonText({ name: "a\u202eb\u009b" });
 * assert.equal(text, '{"name":"a\\u202eb\\u009b"}');
 * assert.deepEqual(JSON.parse(text), { name: "a\u202eb\u009b" });
 * ```
 */
export function jsonText(value: unknown, indent?: number): string {
  // In strings a line feed is escaped already: those that are left part lines of the text.
  return JSON.stringify(value, undefined, indent)
    .replace(hidden(), (found) => found === "\n" ? found : escaped(found));
}

/** Each unit of UTF-16, as JSON wants it. */
function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`,
  ).join("");
}
