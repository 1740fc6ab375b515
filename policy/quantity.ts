/**
 * Numbers of bytes as policies write them: exact, unsigned, 64 bits, and with no unit that could be
 * read two ways.
 *
 * @module
 */

/** First number that 64 bits cannot hold. */
export const QUANTITY_LIMIT = 1n << 64n;

const UNITS: readonly (readonly [name: string, bytes: bigint])[] = [
  ["TiB", 1n << 40n],
  ["GiB", 1n << 30n],
  ["MiB", 1n << 20n],
  ["KiB", 1n << 10n],
];

/** A parsed quantity, or why there is none and what to write instead. */
export type QuantityResult =
  | { readonly ok: true; readonly value: bigint }
  | {
    readonly ok: false;
    readonly problem: "form" | "range";
    readonly why: string;
    readonly fix: string;
  };

const GRAMMAR = /^(?:0x([0-9a-fA-F]+)|(0|[1-9][0-9]*)(KiB|MiB|GiB|TiB)?)$/;
/** Longer texts are out of range whatever their digits; BigInt never sees them. */
const MAX_TEXT = 64;

/**
 * Parses a number of bytes: decimal, `0x…`, or decimal with KiB, MiB, GiB or TiB.
 *
 * @param text as written in the policy
 * @returns the exact number, or the reason why it is none
 *
 * @example
 * ```ts
 * import { parseQuantity } from "./quantity.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(parseQuantity("16MiB"), { ok: true, value: 16777216n });
 * assert.deepEqual(parseQuantity("0xffffffffffffffff"), { ok: true, value: 18446744073709551615n });
 * assert.equal(parseQuantity("16MB").ok, false);
 * ```
 */
export function parseQuantity(text: string): QuantityResult {
  const match = GRAMMAR.exec(text);
  if (match === null) return malformed(text);
  if (text.length > MAX_TEXT) return outOfRange();
  const [, hex, decimal, unit] = match;
  const digits = hex === undefined ? BigInt(decimal ?? "0") : BigInt(`0x${hex}`);
  const value = digits * unitBytes(unit);
  return value < QUANTITY_LIMIT ? { ok: true, value } : outOfRange();
}

/**
 * Prints a number of bytes in the largest unit that keeps it exact.
 *
 * @param value bytes
 * @returns a text that {@linkcode parseQuantity} reads back as `value`
 *
 * @example
 * ```ts
 * import { formatQuantity } from "./quantity.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(formatQuantity(8192n), "8KiB");
 * assert.equal(formatQuantity(4097n), "4097");
 * ```
 */
export function formatQuantity(value: bigint): string {
  if (value === 0n) return "0";
  for (const [name, bytes] of UNITS) {
    if (value % bytes === 0n) return `${value / bytes}${name}`;
  }
  return value.toString();
}

function unitBytes(unit: string | undefined): bigint {
  return UNITS.find(([name]) => name === unit)?.[1] ?? 1n;
}

function outOfRange(): QuantityResult {
  return {
    ok: false,
    problem: "range",
    why: "it does not fit 64 bits",
    fix: "write at most 0xffffffffffffffff",
  };
}

function malformed(text: string): QuantityResult {
  const [why, fix] = explain(text);
  return { ok: false, problem: "form", why, fix };
}

const ACCEPTED =
  "write a whole number (4096), a hexadecimal one (0x1000), or one with KiB, MiB, GiB or TiB (4KiB)";

/** Which mistake it most likely is. The first that fits is told. */
function explain(text: string): readonly [why: string, fix: string] {
  const spaced = /^([0-9]+)\s+(KiB|MiB|GiB|TiB)$/.exec(text);
  if (spaced !== null) {
    return ["a space stands before the unit", `write ${spaced[1]}${spaced[2]}`];
  }
  const decimalUnit = /^([0-9]+)\s*([kKmMgGtT])([bB]?|[iI][bB]?)$/.exec(text);
  if (decimalUnit !== null) return wrongUnit(decimalUnit);
  const whole = /^(0|[1-9][0-9]*)\.0*$/.exec(text);
  if (whole !== null) return ["it is written as a fraction", `write ${whole[1]}`];
  const fraction = /^([0-9]*)\.([0-9]*)\s*([A-Za-z]*)$/.exec(text);
  if (fraction !== null && text.length > 1) return fractional(text, fraction);
  if (/^-/.test(text)) return ["it is negative", ACCEPTED];
  if (/^0[0-9]+/.test(text)) {
    return ["a leading zero means octal to some readers", `write ${withoutZeros(text)}, or 0x…`];
  }
  if (/^0X[0-9a-fA-F]+$/.test(text)) {
    return ["the x of a hexadecimal number is small", `write 0x${text.slice(2)}`];
  }
  if (/^0[oO][0-7]{1,22}$/.test(text)) {
    return ["octal numbers are not accepted", `write ${BigInt(text)}`];
  }
  return ["it is not a number of bytes", ACCEPTED];
}

/** Of a fraction that is a whole number of bytes all the same, that number. */
function fractional(text: string, match: RegExpExecArray): readonly [string, string] {
  const [, whole = "", part = "", written = ""] = match;
  const letter = /^([kmgt])(?:i?b?)$/i.exec(written)?.[1]?.toUpperCase();
  const unit = letter === undefined ? undefined : unitBytes(`${letter}iB`);
  const none = ["fractions are not exact", "write a whole number, of a smaller unit"] as const;
  if (unit === undefined || text.length > MAX_TEXT) return none;
  const [scaled, scale] = [BigInt(`${whole}${part}`) * unit, 10n ** BigInt(part.length)];
  if (scaled % scale !== 0n || scaled / scale >= QUANTITY_LIMIT) return none;
  return [none[0], `write ${formatQuantity(scaled / scale)}`];
}

function withoutZeros(text: string): string {
  return text.replace(/^0+(?=[0-9])/, "");
}

function wrongUnit(match: RegExpExecArray): readonly [string, string] {
  const [, digits, letter = "", rest = ""] = match;
  const binary = `${digits}${letter.toUpperCase()}iB`;
  const why = /^i/i.test(rest)
    ? "the unit is misspelt"
    : `${letter}${rest} is read as a power of ten by some and a power of two by others`;
  return [why, `write ${binary}`];
}
