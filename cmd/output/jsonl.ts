/**
 * Diagnostics for programs, one JSON value a line, the summary last.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary } from "./summary.ts";
import { jsonText } from "./json_text.ts";

/** A line for each diagnostic, then `{"summary":{…}}`. */
export function jsonlDiagnostics(diagnostics: readonly Diagnostic[], summary: Summary): string {
  return [...diagnostics, { summary }].map((value) => `${jsonText(value)}\n`).join("");
}
