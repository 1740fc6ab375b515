/**
 * How many of what were found.
 *
 * @module
 */
import type { Diagnostic, Severity } from "../../policy/diagnostic.ts";
import type { LoadResult } from "../../policy/load.ts";

/** The summary of Diagnostic v1. */
export interface Summary {
  readonly errors: number;
  readonly warnings: number;
  readonly files: number;
  readonly exports: number;
}

/** What a program is told of the set as a whole; what is absent does not hold. */
export interface Verdict {
  /** Digest of what the set means; absent when it is invalid. */
  readonly policy?: string;
  /** Why the run has failed although the set is valid. */
  readonly refused?: string;
}

/**
 * Counts.
 *
 * @param diagnostics what is shown
 * @param counts of the policies, with how many diagnostics are not shown
 */
export function summarize(
  diagnostics: readonly Diagnostic[],
  counts: Pick<LoadResult, "files" | "exports" | "omitted">,
): Summary {
  const of = (severity: Severity) =>
    diagnostics.filter((d) => d.severity === severity).length + counts.omitted[severity];
  return {
    errors: of("error"),
    warnings: of("warning"),
    files: counts.files,
    exports: counts.exports,
  };
}

/** Says in one line how many of what there are. */
export function humanSummary({ errors, warnings, files, exports }: Summary): string {
  const found = [count(errors, "error"), count(warnings, "warning")].join(", ");
  return `${found} in ${count(files, "file")} with ${count(exports, "export")}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
