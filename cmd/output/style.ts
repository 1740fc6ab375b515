/**
 * Colours, or none.
 *
 * @module
 */

/** How parts of a message look. */
export interface Style {
  error(text: string): string;
  warning(text: string): string;
  note(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
}

function code(...codes: readonly number[]): (text: string) => string {
  return (text) => `\x1b[${codes.join(";")}m${text}\x1b[0m`;
}

const COLOURED: Style = {
  error: code(1, 31),
  warning: code(1, 33),
  note: code(1, 36),
  strong: code(1),
  faint: code(2),
};

function same(text: string): string {
  return text;
}

const PLAIN: Style = { error: same, warning: same, note: same, strong: same, faint: same };

/** @param coloured whether the reader is a terminal that wants colours */
export function styleFor(coloured: boolean): Style {
  return coloured ? COLOURED : PLAIN;
}
