/**
 * From bytes to text that can be trusted to look like what it means.
 *
 * @module
 */
import type { Diagnostic } from "./diagnostic.ts";
import { hiddenIn } from "./hidden.ts";
import { LineMap } from "./lines.ts";
import { diagnostic } from "./report.ts";

/** A policy file as it was read. */
export interface Source {
  /** Name as the user gave it; `-` is standard input. */
  readonly file: string;
  /** Its content; bytes are checked to be UTF-8. */
  readonly content: string | Uint8Array;
}

/** Largest file, bytes (characters, when text is given). */
export const MAX_FILE_SIZE = 32 * 1024 * 1024;

/** Text without its byte order mark, or the diagnostics that say why there is none. */
export type TextResult =
  | { readonly ok: true; readonly text: string; readonly lines: LineMap }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

/** Decodes and checks a source. */
export function readSource(source: Source): TextResult {
  const { file, content } = source;
  if (content.length > MAX_FILE_SIZE) return tooLarge(file, content.length);
  const decoded = typeof content === "string" ? content : decode(content);
  if (typeof decoded !== "string") return invalid(file, decoded.prefix);
  const text = decoded.startsWith("\ufeff") ? decoded.slice(1) : decoded;
  const lines = new LineMap(file, text);
  const hidden = hiddenCharacters(text, lines);
  return hidden.length > 0 ? { ok: false, diagnostics: hidden } : { ok: true, text, lines };
}

function tooLarge(file: string, size: number): TextResult {
  const at = new LineMap(file, "").span(0, 0);
  const message =
    `Cannot read the policy: the file is too large (${size} bytes, at most ${MAX_FILE_SIZE})`;
  return { ok: false, diagnostics: [diagnostic("BG1001", at, message)] };
}

function invalid(file: string, prefix: string): TextResult {
  const at = new LineMap(file, prefix).span(prefix.length, prefix.length);
  const message = "Cannot read the policy: the bytes here are not UTF-8";
  return { ok: false, diagnostics: [diagnostic("BG1002", at, message)] };
}

function decode(bytes: Uint8Array): string | { readonly prefix: string } {
  const whole = decodePrefix(bytes, bytes.length, false);
  return whole ?? { prefix: validPrefix(bytes) };
}

/** Decodes the first `length` bytes; absent when they are not UTF-8. */
function decodePrefix(
  bytes: Uint8Array,
  length: number,
  mayEndInside: boolean,
): string | undefined {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
    return decoder.decode(bytes.subarray(0, length), { stream: mayEndInside });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The longest text that the bytes begin with. Bytes once invalid stay so, hence the bisection. */
function validPrefix(bytes: Uint8Array): string {
  let low = 0;
  let high = bytes.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decodePrefix(bytes, middle, true) === undefined) high = middle - 1;
    else low = middle;
  }
  return decodePrefix(bytes, low, true) ?? "";
}

/** Places told of one file; the first already says what is wrong with it. */
const MAX_HIDDEN = 100;

function hiddenCharacters(text: string, lines: LineMap): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const hidden of hiddenIn(text)) {
    if (found.length === MAX_HIDDEN) break;
    const at = lines.span(hidden.start, hidden.end);
    const message = `Cannot accept a hidden or control character (received ${hidden.name})`;
    found.push(diagnostic("BG1003", at, message));
  }
  return found;
}
