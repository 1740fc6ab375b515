/**
 * Stretches of time as policies write them: a whole number and a unit.
 *
 * @module
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** Longest duration, about 24.8 days: what one timer of the runtime can wait. */
export const MAX_DURATION_MS = 2 ** 31 - 1;

/** Milliseconds, or why there are none and what to write instead. */
export type DurationResult =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly why: string; readonly fix: string };

/**
 * Parses a duration: `500ms`, `2s`, `5m`, `8h`, `7d`.
 *
 * @param text as written in the policy
 * @returns milliseconds, or the reason why there are none
 *
 * @example
 * ```ts
 * import { parseDuration } from "./duration.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(parseDuration("2s"), { ok: true, ms: 2000 });
 * assert.equal(parseDuration("2").ok, false);
 * ```
 */
export function parseDuration(text: string): DurationResult {
  const match = /^(0|[1-9][0-9]{0,15})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return malformed(text);
  const ms = Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 0);
  if (ms <= MAX_DURATION_MS) return { ok: true, ms };
  return { ok: false, why: "it is longer than 24 days", fix: "write at most 24d" };
}

/**
 * Prints a duration in the largest unit that keeps it exact.
 *
 * @param ms whole milliseconds
 * @returns a text that {@linkcode parseDuration} reads back as `ms`
 *
 * @example
 * ```ts
 * import { formatDuration } from "./duration.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(formatDuration(28_800_000), "8h");
 * assert.equal(formatDuration(1500), "1500ms");
 * ```
 */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const [unit, size] = Object.entries(UNIT_MS).find(([, size]) => ms % size === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}

function malformed(text: string): DurationResult {
  if (/^[0-9]+$/.test(text)) {
    return { ok: false, why: "it has no unit", fix: `write ${text}s or ${text}ms` };
  }
  const fraction = /^([0-9]*)\.([0-9]+)\s*([A-Za-z]*)$/.exec(text);
  if (fraction !== null) return { ok: false, why: "it is a fraction", fix: wholeUnits(fraction) };
  const plain = text.toLowerCase().replace(/\s+(?=[a-z]+$)/, "");
  if (plain !== text && parseDuration(plain).ok) {
    return { ok: false, why: "its unit is not written so", fix: `write ${plain}` };
  }
  return {
    ok: false,
    why: "it is not a whole number with a unit",
    fix: "write a whole number with ms, s, m, h or d (2s)",
  };
}

/** Digits of a fraction beyond which nobody meant a time that they tell apart. */
const MAX_DIGITS = 16;

/** What to write for a fraction: the same time, where it is one of whole milliseconds. */
function wholeUnits([, whole = "", part = "", unit = ""]: RegExpExecArray): string {
  const size = UNIT_MS[unit.toLowerCase()];
  if (size === undefined) return "write a whole number with ms, s, m, h or d";
  if (whole.length + part.length > MAX_DIGITS) return WHOLE;
  const [scaled, scale] = [BigInt(`${whole}${part}`) * BigInt(size), 10n ** BigInt(part.length)];
  if (scaled % scale !== 0n) return WHOLE;
  const ms = Number(scaled / scale);
  return ms <= MAX_DURATION_MS ? `write ${formatDuration(ms)}` : "write at most 24d";
}

const WHOLE = "write whole milliseconds, or a whole number of a larger unit";
