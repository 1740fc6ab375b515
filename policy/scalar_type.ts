/**
 * How the YAML 1.2 core schema reads a scalar without quotes.
 *
 * @module
 */
import type { Report } from "./draft.ts";
import type { ScalarNode, ScalarType } from "./node.ts";
import type { Span } from "./position.ts";

const WORDS: ReadonlyMap<string, ScalarType> = new Map([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, "null"] as const),
  ...["true", "True", "TRUE", "false", "False", "FALSE"].map((word) => [word, "boolean"] as const),
]);
const INTEGER = /^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$/;
const FLOAT =
  /^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

/**
 * The type that the core schema gives to a plain scalar.
 *
 * @param text the scalar's text
 *
 * @example
 * ```ts
 * import { scalarType } from "./scalar_type.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(scalarType("0x10"), "integer");
 * assert.equal(scalarType("16MiB"), "string");
 * assert.equal(scalarType("yes"), "string");
 * ```
 */
export function scalarType(text: string): ScalarType {
  const first = text.charCodeAt(0);
  // Most scalars of a policy start with a letter of no keyword.
  if (first > 0x61 && first !== 0x66 && first !== 0x6e && first !== 0x74 && first !== 0x7e) {
    return "string";
  }
  const type = WORDS.get(text);
  if (type !== undefined) return type;
  if (INTEGER.test(text)) return "integer";
  // Quantities end in a letter of no float: their expression takes long to compile.
  return !text.endsWith("B") && FLOAT.test(text) ? "float" : "string";
}

/**
 * Tells an integer that is not written in the one way that all readers agree on. A negative number
 * is out of the limits wherever this is asked, and told so by the schema.
 *
 * @param node an integer
 * @param at its place
 */
export function checkDecimal({ text }: ScalarNode, at: Span, report: Report): void {
  const value = Number(text);
  if (value < 0 || /^(?:0|[1-9][0-9]*)$/.test(text)) return;
  const octal = /^0[0-7]+$/.test(text) ? parseInt(text, 8) : value;
  const other = octal === value ? "" : `, or ${octal} if octal was meant`;
  const message =
    `Cannot accept the number: readers disagree on how it is written (received ${text})`;
  report("BG1114", at, message, { fix: `write ${Math.abs(value)}${other}` });
}
