/**
 * From offsets in a text to lines and columns.
 *
 * @module
 */
import type { Range } from "./node.ts";
import { type Span, WRITTEN } from "./position.ts";

/** Knows where each line of one text starts. LF and CRLF each end a line, as in editors. */
export class LineMap {
  readonly file: string;
  readonly #starts: readonly number[];
  readonly #length: number;

  /**
   * @param file name that spans carry
   * @param text the text without its byte order mark
   *
   * @example
   * ```ts
   * import { LineMap } from "./lines.ts";
   * import assert from "node:assert/strict";
   *
   * const lines = new LineMap("a.yaml", "one\r\ntwo\n");
   * assert.deepEqual(lines.span(5, 8), { file: "a.yaml", line: 2, column: 1, endLine: 2, endColumn: 4 });
   * ```
   */
  constructor(file: string, text: string) {
    this.file = file;
    this.#starts = lineStarts(text);
    this.#length = text.length;
  }

  /** The stretch `[start, end)`, clamped to the text. */
  span(start: number, end: number): Span {
    const from = this.#place(start);
    const to = end > start ? this.#place(end) : from;
    return {
      file: this.file,
      line: from.line,
      column: from.column,
      endLine: to.line,
      endColumn: to.column,
    };
  }

  /** Where a node stands, and where its text is if it stands there by an alias. */
  spanOf({ start, end, written }: Range): Span {
    const here = this.span(start, end);
    return written === undefined
      ? here
      : { ...here, [WRITTEN]: this.span(written.start, written.end) };
  }

  #place(offset: number): { readonly line: number; readonly column: number } {
    const at = Math.min(Math.max(offset, 0), this.#length);
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - (this.#starts[low] ?? 0) + 1 };
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}
