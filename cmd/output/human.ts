/**
 * Diagnostics for people: what is wrong, where, shown in the text, and what to do.
 *
 * @module
 */
import type { Diagnostic, Related, Severity } from "../../policy/diagnostic.ts";
import { drawFrame, linesOf, type Place } from "./frame.ts";
import { type Style, styleFor } from "./style.ts";
import { visible } from "./visible.ts";

/** How to write for people. */
export interface HumanOptions {
  /** The text of a file for frames; absent where there is none. */
  readonly textOf: (file: string) => string | undefined;
  readonly coloured: boolean;
}

/** Writes diagnostics one after the other, separated by blank lines. */
export function humanDiagnostics(
  diagnostics: readonly Diagnostic[],
  options: HumanOptions,
): string {
  const write = humanWriter(options);
  return diagnostics.map((found) => write(found)).join("\n");
}

/** Writes one diagnostic after the other, as lines, and splits each file once for all of them. */
export function humanWriter(options: HumanOptions): (found: Diagnostic) => string {
  const style = styleFor(options.coloured);
  const lines = new FileLines(options.textOf);
  return (found) => `${humanDiagnostic(found, lines, style)}\n`;
}

/** Splits each file once. */
class FileLines {
  readonly #textOf: HumanOptions["textOf"];
  readonly #lines = new Map<string, readonly string[]>();

  constructor(textOf: HumanOptions["textOf"]) {
    this.#textOf = textOf;
  }

  of(file: string): readonly string[] {
    const known = this.#lines.get(file);
    if (known !== undefined) return known;
    const text = this.#textOf(file) ?? "";
    // Of what is not there, or has no text, there is nothing to show.
    const lines = text === "" ? [] : linesOf(text);
    this.#lines.set(file, lines);
    return lines;
  }
}

function humanDiagnostic(found: Diagnostic, lines: FileLines, style: Style): string {
  const label = severityStyle(style, found.severity)(`${found.severity}[${found.code}]`);
  const parts = [`${label}: ${style.strong(visible(found.message))}`];
  if (found.file !== undefined && found.line !== undefined && found.column !== undefined) {
    const place = { ...found, line: found.line, column: found.column };
    parts.push(located("-->", found.file, place, style));
    parts.push(...frame(lines.of(found.file), place, "^", style, found.severity));
  }
  for (const other of found.related ?? []) parts.push(...relatedPlace(other, lines, style));
  if (found.fix !== undefined) parts.push(`  ${style.strong("fix:")} ${visible(found.fix)}`);
  parts.push(style.faint(`  help: ${found.help}`));
  return parts.join("\n");
}

function severityStyle(style: Style, severity: Severity): (text: string) => string {
  return style[severity];
}

function located(arrow: string, file: string, place: Place, style: Style): string {
  return `  ${style.faint(arrow)} ${visible(file)}:${place.line}:${place.column}`;
}

function relatedPlace(other: Related, lines: FileLines, style: Style): readonly string[] {
  return [
    `${located(":::", other.file, other, style)}: ${visible(other.message)}`,
    ...frame(lines.of(other.file), other, "-", style, "note"),
  ];
}

function frame(
  lines: readonly string[],
  place: Place,
  mark: string,
  style: Style,
  severity: Severity,
): readonly string[] {
  const [rule, text, underline] = drawFrame(lines, place, mark);
  if (rule === undefined || text === undefined || underline === undefined) return [];
  const bar = underline.indexOf("|") + 1;
  const marked = severityStyle(style, severity)(underline.slice(bar));
  return [style.faint(rule), text, `${style.faint(underline.slice(0, bar))}${marked}`];
}
