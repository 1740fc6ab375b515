/**
 * Places in policy text: offsets, lines and columns.
 *
 * @module
 */

/** The key of a {@link Span} under which it tells where the text of an alias is. */
export const WRITTEN: unique symbol = Symbol("written");

/** A stretch of one file. Lines and columns count from 1; a column counts UTF-16 code units, as editors do. */
export interface Span {
  /** The file's name as the user gave it; `-` is standard input. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Line of the first character after the stretch. */
  readonly endLine: number;
  /** Column of the first character after the stretch. */
  readonly endColumn: number;
  /** Where the text is, of what stands here by an alias. Left out of JSON. */
  readonly [WRITTEN]?: Span;
}

/** By name of the file, then by where it starts: the same in whatever order files are given. */
export function comparePlaces(a: Span, b: Span): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
