/**
 * The one place where diagnostics of policies are made.
 *
 * @module
 */
import { type Code, CODES } from "./codes.ts";
import type { Diagnostic, Related, Severity } from "./diagnostic.ts";
import { type Span, WRITTEN } from "./position.ts";

/** What may go with a message. */
export interface Details {
  /** What to do; default: what the code says. */
  readonly fix?: string;
  readonly related?: readonly Related[];
}

/**
 * Makes a diagnostic of a policy.
 *
 * @param code from the closed list
 * @param at where; absent when the file as a whole is meant and has no text
 * @param message what is wrong, with the value received
 *
 * @example
 * ```ts
 * import { diagnostic } from "./report.ts";
 * import assert from "node:assert/strict";
 *
 * const at = { file: "a.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
 * const made = diagnostic("BG1101", at, 'Unknown key "x"');
 * assert.equal(made.severity, "error");
 * assert.equal(made.help, "docs/diagnostics.md#BG1101");
 * ```
 */
export function diagnostic(
  code: Code,
  at: Span,
  message: string,
  details: Details = {},
): Diagnostic {
  const entry = CODES[code];
  const related = withWritten(at, details.related);
  return {
    code,
    severity: entry.severity,
    message,
    ...at,
    ...(related === undefined ? {} : { related }),
    fix: details.fix ?? entry.fix,
    help: `docs/diagnostics.md#${code}`,
  };
}

/**
 * The other places of a diagnostic, and where the text is of what stands at its own by an alias.
 *
 * @param at the diagnostic's own place
 * @param others its other places
 * @returns absent when there are none
 */
export function withWritten(
  at: Span | undefined,
  others: readonly Related[] = [],
): readonly Related[] | undefined {
  const written = at?.[WRITTEN];
  const all = written === undefined
    ? others
    : [...others, related(written, "the alias stands for this")];
  return all.length === 0 ? undefined : all;
}

/** Makes the other place of a diagnostic. */
export function related(at: Span, message: string): Related {
  return { message, ...at };
}

/** At one place, what matters most comes first. */
const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };

/** Diagnostics kept of one file, errors before all others; the rest is counted. */
const MAX_PER_FILE = 1000;

/** How many there are of each severity. */
export type Counts = Readonly<Record<Severity, number>>;

/** What was taken of one file. */
interface PerFile {
  readonly keptErrors: string[];
  readonly keptOthers: string[];
  readonly omitted: Record<Severity, number>;
  /** Hashes of the keys of what was left out: the keys themselves could be more than the file. */
  readonly omittedKeys: Set<number>;
}

/** Takes the diagnostics of one run, each once, and gives them back in order of files and places. */
export class DiagnosticSink {
  readonly #fileOrder: ReadonlyMap<string, number>;
  readonly #kept = new Map<string, Diagnostic>();
  readonly #perFile = new Map<string, PerFile>();
  #errors = false;

  /** @param files in the order in which their diagnostics are told */
  constructor(files: readonly string[]) {
    this.#fileOrder = new Map(files.map((file, index) => [file, index]));
  }

  /**
   * Takes one. The same code at the same place with the same message counts once, and what is wrong
   * with a value wherever it stands is told at its anchor, not again at each alias.
   */
  add(found: Diagnostic): void {
    const key = keyOf(found, found);
    if (this.#kept.has(key) || this.#isToldAtAnchor(found)) return;
    this.#errors ||= found.severity === "error";
    const file = this.#of(found.file ?? "");
    if (file.keptErrors.length + file.keptOthers.length >= MAX_PER_FILE) {
      const other = found.severity === "error" ? file.keptOthers.pop() : undefined;
      if (other === undefined) return omit(file, key, found.severity);
      omit(file, other, this.#kept.get(other)?.severity ?? "note");
      this.#kept.delete(other);
    }
    this.#kept.set(key, found);
    (found.severity === "error" ? file.keptErrors : file.keptOthers).push(key);
  }

  #isToldAtAnchor(found: Diagnostic): boolean {
    const written = found[WRITTEN];
    return written !== undefined && this.#kept.has(keyOf(found, written));
  }

  #of(name: string): PerFile {
    const known = this.#perFile.get(name);
    if (known !== undefined) return known;
    const omitted = { error: 0, warning: 0, note: 0 };
    const made = { keptErrors: [], keptOthers: [], omitted, omittedKeys: new Set<number>() };
    this.#perFile.set(name, made);
    return made;
  }

  /** Whether an error was taken. */
  get hasErrors(): boolean {
    return this.#errors;
  }

  /** How many were taken and are not kept. */
  get omitted(): Counts {
    const counts = { error: 0, warning: 0, note: 0 };
    for (const { omitted } of this.#perFile.values()) {
      counts.error += omitted.error;
      counts.warning += omitted.warning;
      counts.note += omitted.note;
    }
    return counts;
  }

  /** All that are kept, files in order, places ascending. */
  sorted(): readonly Diagnostic[] {
    const kept = [...this.#kept.values()].filter((found) => !this.#isToldAtAnchor(found));
    return [...kept, ...this.#omissions()].sort((a, b) =>
      this.#order(a) - this.#order(b) || (a.line ?? 0) - (b.line ?? 0) ||
      (a.column ?? 0) - (b.column ?? 0) || RANK[a.severity] - RANK[b.severity] ||
      compareText(a.code, b.code) ||
      compareText(a.message, b.message)
    );
  }

  #order(found: Diagnostic): number {
    return this.#fileOrder.get(found.file ?? "") ?? -1;
  }

  /** Says at the end of what is kept of a file that there was more. */
  #omissions(): Diagnostic[] {
    return [...this.#perFile].flatMap(([file, { omitted }]) => {
      const count = omitted.error + omitted.warning + omitted.note;
      if (count === 0) return [];
      const message = `${count} more problems are not shown (${omitted.error} of them errors)`;
      return [diagnostic("BG1014", this.#lastPlace(file), message)];
    });
  }

  #lastPlace(file: string): Span {
    let line = 1;
    let column = 1;
    for (const found of this.#kept.values()) {
      if (found.file !== file || found.line === undefined || found.column === undefined) continue;
      if (found.line < line || (found.line === line && found.column < column)) continue;
      [line, column] = [found.line, found.column];
    }
    return { file, line, column, endLine: line, endColumn: column };
  }
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function keyOf({ code, message }: Diagnostic, at: Partial<Span>): string {
  return JSON.stringify([code, at.file, at.line, at.column, message]);
}

function omit(file: PerFile, key: string, severity: Severity): void {
  const hash = hashOf(key);
  if (file.omittedKeys.has(hash)) return;
  file.omittedKeys.add(hash);
  file.omitted[severity]++;
}

/** 53 bits of a text: of millions of texts hardly two have the same. */
function hashOf(text: string): number {
  let high = 0x811c9dc5;
  let low = 0x2545f491;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 0x01000193);
    low = Math.imul(low ^ unit, 0x5bd1e995) ^ (low >>> 15);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}
