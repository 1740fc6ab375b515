/**
 * How many of what were found.
 *
 * @module
 */
import type { Diagnostic, Severity } from "../../policy/diagnostic.ts";

/** The summary of Diagnostic v1. */
export interface Summary {
  readonly errors: number;
  readonly warnings: number;
  readonly files: number;
  readonly exports: number;
}

/** Counts. */
export function summarize(
  diagnostics: readonly Diagnostic[],
  counts: { readonly files: number; readonly exports: number },
): Summary {
  const of = (severity: Severity) => diagnostics.filter((d) => d.severity === severity).length;
  return {
    errors: of("error"),
    warnings: of("warning"),
    files: counts.files,
    exports: counts.exports,
  };
}
