/**
 * Code frames: the one place that shows where in a file something is.
 *
 * @module
 */
import { visibleLines } from "./visible.ts";

/** A place in a file; without an end it is one character. */
export interface Place {
  readonly line: number;
  readonly column: number;
  readonly endLine?: number;
  readonly endColumn?: number;
}

/** Longest stretch of a line that is shown. */
const MAX_WIDTH = 120;
/** Characters kept before the place when a long line is cut. */
const LEAD = 40;

/** Gives the lines of one text; splitting happens once, however many frames are drawn. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r?\n/);
}

/**
 * Draws the line of a place, and a mark below it.
 *
 * @param lines of the file
 * @param place where to mark; of several lines the first is shown
 * @param mark the character to underline with
 * @returns lines of text, none when the file has no such line
 *
 * @example
 * ```ts
 * import { drawFrame } from "./frame.ts";
 * import assert from "node:assert/strict";
 *
 * const place = { line: 1, column: 6, endLine: 1, endColumn: 9 };
 * assert.deepEqual(drawFrame(["bar: six"], place, "^"), ["  |", "1 | bar: six", "  |      ^^^"]);
 * ```
 */
export function drawFrame(
  lines: readonly string[],
  place: Place,
  mark: string,
): readonly string[] {
  const line = lines[place.line - 1];
  if (line === undefined) return [];
  const number = String(place.line);
  const gutter = " ".repeat(number.length);
  const { shown, before, marked } = cut(line, place);
  const underline = `${blank(before)}${mark.repeat(Math.max(1, width(marked)))}`;
  return [`${gutter} |`, `${number} | ${shown}`, `${gutter} | ${underline}`];
}

interface Cut {
  readonly shown: string;
  readonly before: string;
  readonly marked: string;
}

function cut(line: string, place: Place): Cut {
  const start = place.column - 1;
  const end = place.endLine === place.line ? (place.endColumn ?? place.column) - 1 : line.length;
  const from = line.length <= MAX_WIDTH ? 0 : Math.max(0, start - LEAD);
  const to = Math.min(line.length, from + MAX_WIDTH);
  const lead = from > 0 ? "…" : "";
  const tail = to < line.length ? "…" : "";
  return {
    shown: `${lead}${visibleLines(line.slice(from, to))}${tail}`,
    before: `${lead}${visibleLines(line.slice(from, start))}`,
    marked: visibleLines(line.slice(start, Math.min(end, to))),
  };
}

/** As wide as the text: tabs stay, for their width is the terminal's affair. */
function blank(text: string): string {
  return [...text].map((character) => character === "\t" ? "\t" : " ".repeat(width(character)))
    .join("");
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;

/** Columns on a terminal. */
function width(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    columns += WIDE.test(character) ? 2 : 1;
  }
  return columns;
}
