/**
 * Diagnostics as commands of GitHub Actions, which shows them in the diff of a pull request.
 *
 * @module
 */
import type { Diagnostic, Severity } from "../../policy/diagnostic.ts";
import type { Verdict } from "./summary.ts";
import { visible } from "./visible.ts";

const COMMANDS: Readonly<Record<Severity, string>> = {
  error: "error",
  warning: "warning",
  note: "notice",
};

/**
 * One line for each diagnostic, one for why the run fails where no error says it, and one for what it
 * came to, so that the log of a run that found nothing says of what.
 *
 * @param diagnostics to write
 * @param verdict on the set
 * @param result what the run came to, in words
 *
 * @example
 * ```ts
 * import { githubDiagnostics } from "./github.ts";
 * import assert from "node:assert/strict";
 *
 * const found = { code: "BG1101", severity: "error", message: "Cannot", file: "a.yaml", line: 2, column: 3, help: "" } as const;
 * assert.equal(githubDiagnostics([found]), "::error title=BG1101,file=a.yaml,line=2,col=3::Cannot\n");
 * ```
 */
export function githubDiagnostics(
  diagnostics: readonly Diagnostic[],
  { refused }: Verdict = {},
  result?: string,
): string {
  const all = diagnostics.map(commandOf);
  if (refused !== undefined) all.push(`::error title=bargate::${escapeText(visible(refused))}`);
  if (result !== undefined) all.push(`::notice title=bargate::${escapeText(visible(result))}`);
  return all.map((command) => `${command}\n`).join("");
}

function commandOf(found: Diagnostic): string {
  const { code, severity, message, fix, related = [] } = found;
  const properties = {
    title: code,
    file: found.file,
    line: found.line,
    endLine: found.endLine,
    col: found.column,
    // The format has columns of one line only.
    endColumn: found.endLine === found.line ? found.endColumn : undefined,
  };
  const given = Object.entries(properties).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${escapeProperty(String(value))}`]
  );
  const others = related.map((r) => `${r.file}:${r.line}:${r.column}: ${r.message}`);
  const text = [message, ...others, ...(fix === undefined ? [] : [`fix: ${fix}`])].map(visible)
    .join("\n");
  return `::${COMMANDS[severity]} ${given.join(",")}::${escapeText(text)}`;
}

function escapeText(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeText(visible(text)).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
