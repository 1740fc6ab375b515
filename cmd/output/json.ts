/**
 * Diagnostics for programs, as one JSON value.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary, Verdict } from "./summary.ts";
import { jsonText } from "./json_text.ts";

/** `{"diagnostics":[…],"policy":"sha256:…","summary":{…}}` */
export function jsonDiagnostics(
  diagnostics: readonly Diagnostic[],
  summary: Summary,
  verdict: Verdict = {},
): string {
  return `${jsonText({ diagnostics, ...verdict, summary })}\n`;
}
