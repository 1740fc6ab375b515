/**
 * Diagnostics for programs, as one JSON value.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary } from "./summary.ts";
import { jsonText } from "./json_text.ts";

/** `{"diagnostics":[…],"summary":{…}}` */
export function jsonDiagnostics(diagnostics: readonly Diagnostic[], summary: Summary): string {
  return `${jsonText({ diagnostics, summary })}\n`;
}
