/**
 * Diagnostics for programs, as one JSON value.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { Summary } from "./summary.ts";

/** `{"diagnostics":[…],"summary":{…}}` */
export function jsonDiagnostics(diagnostics: readonly Diagnostic[], summary: Summary): string {
  return `${JSON.stringify({ diagnostics, summary })}\n`;
}
