/**
 * Diagnostics for programs, one JSON value a line, the summary last.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary } from "./summary.ts";

/** A line for each diagnostic, then `{"summary":{…}}`. */
export function jsonlDiagnostics(diagnostics: readonly Diagnostic[], summary: Summary): string {
  return [...diagnostics, { summary }].map((value) => `${JSON.stringify(value)}\n`).join("");
}
