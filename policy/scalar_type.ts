/**
 * How the YAML 1.2 core schema reads a scalar without quotes.
 *
 * @module
 */
import type { ScalarType } from "./node.ts";

const NULL = /^(?:|~|null|Null|NULL)$/;
const BOOLEAN = /^(?:true|True|TRUE|false|False|FALSE)$/;
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
  // Most scalars of a policy start with a letter of no keyword; regular expressions are for the rest.
  if (first > 0x61 && first !== 0x66 && first !== 0x6e && first !== 0x74 && first !== 0x7e) {
    return "string";
  }
  if (NULL.test(text)) return "null";
  if (BOOLEAN.test(text)) return "boolean";
  if (INTEGER.test(text)) return "integer";
  return FLOAT.test(text) ? "float" : "string";
}
