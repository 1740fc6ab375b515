/**
 * Places in policy text: offsets, lines and columns.
 *
 * @module
 */

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
}
