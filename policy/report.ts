/**
 * The one place where diagnostics of policies are made.
 *
 * @module
 */
import { type Code, CODES } from "./codes.ts";
import type { Diagnostic, Related, Severity } from "./diagnostic.ts";
import type { Span } from "./position.ts";

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
  const { related } = details;
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

/** Makes the other place of a diagnostic. */
export function related(at: Span, message: string): Related {
  return { message, ...at };
}

/** At one place, what matters most comes first. */
const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };

/** Diagnostics kept of one file; the rest is counted. */
const MAX_PER_FILE = 1000;

/** Takes the diagnostics of one run, each once, and gives them back in order of files and places. */
export class DiagnosticSink {
  readonly #fileOrder: ReadonlyMap<string, number>;
  readonly #kept = new Map<string, Diagnostic>();
  readonly #perFile = new Map<string, number>();
  #errors = false;

  /** @param files in the order in which their diagnostics are told */
  constructor(files: readonly string[]) {
    this.#fileOrder = new Map(files.map((file, index) => [file, index]));
  }

  /** Takes one. The same code at the same place with the same message counts once. */
  add(found: Diagnostic): void {
    const key = JSON.stringify([found.code, found.file, found.line, found.column, found.message]);
    if (this.#kept.has(key)) return;
    const file = found.file ?? "";
    const count = (this.#perFile.get(file) ?? 0) + 1;
    this.#perFile.set(file, count);
    if (count <= MAX_PER_FILE) this.#kept.set(key, found);
    this.#errors ||= found.severity === "error";
  }

  /** Whether an error was taken. */
  get hasErrors(): boolean {
    return this.#errors;
  }

  /** All of them, files in order, places ascending. */
  sorted(): readonly Diagnostic[] {
    const all = [...this.#kept.values(), ...this.#omitted()];
    return all.sort((a, b) =>
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
  #omitted(): Diagnostic[] {
    return [...this.#perFile].filter(([, count]) => count > MAX_PER_FILE).map(([file, count]) => {
      const last = this.#lastPlace(file);
      return diagnostic("BG1014", last, `${count - MAX_PER_FILE} more problems are not shown`);
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
