/**
 * Diagnostics for programs, one JSON value a line, the summary last.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary, Verdict } from "./summary.ts";
import { jsonText } from "./json_text.ts";

/** A line for each diagnostic, then `{"policy":"sha256:…","summary":{…}}`. */
export function jsonlDiagnostics(
  diagnostics: readonly Diagnostic[],
  summary: Summary,
  verdict: Verdict = {},
): string {
  return [...diagnostics, { ...verdict, summary }].map((value) => `${jsonText(value)}\n`).join("");
}
