/**
 * Stretches of time as policies write them: a whole number and a unit.
 *
 * @module
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
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

function malformed(text: string): DurationResult {
  if (/^[0-9]+$/.test(text)) {
    return { ok: false, why: "it has no unit", fix: `write ${text}s or ${text}ms` };
  }
  if (/^[0-9]*\.[0-9]+/.test(text)) {
    return { ok: false, why: "it is a fraction", fix: "write a smaller unit (1500ms)" };
  }
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
