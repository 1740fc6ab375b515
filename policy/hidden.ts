/**
 * Characters that people cannot see, or that change how others are shown: controls, formats
 * (bidirectional marks and tags among them), variation selectors, letters without a shape, lone
 * surrogates, numbers that are no characters, and line ends that only some readers know.
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
const SUSPICIOUS = /[^\t\n\r\x20-\x7e]|\r(?!\n)/;

/**
 * All of them; made when it is first needed, for building these classes takes longer than most
 * texts. Those that Unicode lets readers ignore are most; the blank of Braille and the musical
 * note without a head are shown as nothing although it says otherwise.
 */
export function hidden(): RegExp {
  return /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800\u{1d159}]/gu;
}

/**
 * Finds them in order. Tabs and line ends hide nothing; but a carriage return alone, which YAML
 * takes for a line end, is none to most other readers.
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
  for (const { 0: character, index } of text.matchAll(hidden())) {
    if (character === "\t" || character === "\n") continue;
    if (character === "\r" && text[index + 1] === "\n") continue;
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    yield { start: index, end: index + character.length, name: `U+${code}` };
  }
}

/** An escape that nothing needs, in a text between double quotes. */
export interface NeedlessEscape {
  readonly start: number;
  readonly end: number;
  /** What it stands for; absent where it hides the end of a line. */
  readonly character?: string;
}

/** Each escape whole, so that the second backslash of `\\` starts none. */
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\r\n|[^])/g;
/** What names, addresses and paths consist of. Nobody has to escape these. */
const WORD = /^[A-Za-z0-9._:/-]$/;

/**
 * Finds the first escape that hides a word from whoever searches for it: one of a letter, a digit
 * or one of `. _ - : /` by its number, or one of a line end between two characters of a word.
 *
 * @param quoted the text as it is written, with its quotes
 */
export function needlessEscape(quoted: string): NeedlessEscape | undefined {
  if (!quoted.includes("\\")) return undefined;
  for (const { 0: escape, 1: x, 2: u, 3: long, index: start } of quoted.matchAll(ESCAPE)) {
    const end = start + escape.length;
    const code = x ?? u ?? long;
    if (code !== undefined) {
      const number = parseInt(code, 16);
      const character = number < 0x80 ? String.fromCharCode(number) : "";
      if (WORD.test(character)) return { start, end, character };
    } else if (/[\r\n]$/.test(escape) && joinsWord(quoted, start, end)) {
      return { start, end: start + 1 };
    }
  }
  return undefined;
}

/** The blanks that the next line starts with do not count. */
function joinsWord(quoted: string, start: number, end: number): boolean {
  const next = /^[ \t]*(.)/.exec(quoted.slice(end))?.[1] ?? "";
  return WORD.test(quoted[start - 1] ?? "") && WORD.test(next);
}
