/**
 * Problems of a snapshot file as diagnostics.
 *
 * @module
 */
import type { ProblemKind, SnapshotProblem } from "../host/snapshot_problem.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { HOST_CODES, type HostCode } from "../policy/host_codes.ts";

const CODE_OF: Readonly<Record<ProblemKind, HostCode>> = {
  "syntax": "BG2101",
  "encoding": "BG2102",
  "too-large": "BG2103",
  "another-kind": "BG2104",
  "missing-field": "BG2105",
  "unknown-field": "BG2106",
  "duplicate-field": "BG2107",
  "wrong-type": "BG2108",
  "bad-value": "BG2109",
  "out-of-range": "BG2110",
  "hidden-character": "BG2111",
  "bad-config": "BG2112",
  "duplicate-function": "BG2113",
  "missing-parent": "BG2114",
  "parent-cycle": "BG2115",
  "bad-parent": "BG2123",
  "node-of-another": "BG2124",
  "not-left-out": "BG2125",
  "bad-physfn": "BG2116",
  "bar-taken": "BG2117",
  "bar-overlap": "BG2118",
  "config-of-another": "BG2119",
  "more-problems": "BG2120",
  "bad-name": "BG2121",
};

/**
 * Makes the diagnostic of a problem.
 *
 * @param problem as the parser found it
 * @param file the snapshot's file, as the user gave it
 *
 * @example
 * ```ts
 * import { parseSnapshot } from "../host/parse_snapshot.ts";
 * import { snapshotDiagnostic } from "./snapshot_findings.ts";
 *
 * const [problem] = parseSnapshot(new TextEncoder().encode("[]")).problems;
 * if (problem === undefined) throw new Error("no snapshot is an array");
 * const found = snapshotDiagnostic(problem, "host.json");
 * if (found.code !== "BG2108" || found.pointer !== "") throw new Error(JSON.stringify(found));
 * ```
 */
export function snapshotDiagnostic(problem: SnapshotProblem, file: string): Diagnostic {
  const { kind, pointer, line, column, message, fix } = problem;
  const code = CODE_OF[kind];
  const entry = HOST_CODES[code];
  return {
    code,
    severity: entry.severity,
    message,
    file,
    line,
    column,
    endLine: line,
    endColumn: column,
    pointer,
    fix: fix ?? entry.fix,
    help: `docs/diagnostics.md#${code}`,
  };
}
