/**
 * Results as JUnit XML, which most build servers can show.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { visible, visibleLines } from "./visible.ts";

/** One test case. */
export interface JunitCase {
  /** What the case belongs to: a file, say. */
  readonly group: string;
  readonly name: string;
  /** Why it failed; absent: it passed. */
  readonly failure?: { readonly message: string; readonly text: string };
  /** What else is to be said. */
  readonly output?: string;
}

/**
 * A document with one suite.
 *
 * @param suite its name
 * @param cases in order
 *
 * @example
 * ```ts
 * import { junitCases } from "./junit.ts";
 * import assert from "node:assert/strict";
 *
 * assert.match(junitCases("bargate", [{ group: "a", name: "b" }]), /tests="1" failures="0"/);
 * ```
 */
export function junitCases(suite: string, cases: readonly JunitCase[]): string {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const counts = `tests="${cases.length}" failures="${failures}" errors="0"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `<testsuite name="${attribute(suite)}" ${counts}>`,
    ...cases.map(caseElement),
    "</testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function caseElement({ group, name, failure, output }: JunitCase): string {
  const head = `<testcase classname="${attribute(group)}" name="${attribute(name)}"`;
  const parts = [
    failure === undefined
      ? ""
      : `<failure message="${attribute(failure.message)}">${content(failure.text)}</failure>`,
    output === undefined ? "" : `<system-out>${content(output)}</system-out>`,
  ].join("");
  return parts === "" ? `${head}/>` : `${head}>${parts}</testcase>`;
}

/**
 * A case for each file; it fails when the file has errors.
 *
 * @param files all that were checked, so that those without diagnostics are seen to have passed
 * @param denyWarnings whether it fails for warnings too
 */
export function junitDiagnostics(
  diagnostics: readonly Diagnostic[],
  files: readonly string[],
  denyWarnings = false,
): string {
  const fails = ({ severity }: Diagnostic) =>
    severity === "error" || (denyWarnings && severity === "warning");
  const byFile = Map.groupBy(diagnostics, ({ file }) => file ?? "");
  const cases = files.map((file): JunitCase => {
    const found = byFile.get(file) ?? [];
    const [first, ...rest] = found.filter(fails);
    const other = found.filter((one) => !fails(one)).map(diagnosticLines).join("\n");
    const text = first === undefined ? "" : [first, ...rest].map(diagnosticLines).join("\n");
    return {
      group: "policy",
      name: file,
      ...(first === undefined ? {} : { failure: { message: first.message, text } }),
      ...(other === "" ? {} : { output: other }),
    };
  });
  return junitCases("bargate validate", cases);
}

/** A diagnostic in one line, and what to do in another. */
export function diagnosticLines(found: Diagnostic): string {
  const { code, severity, message, file, line, column, fix } = found;
  const where = file === undefined ? "" : `${file}:${line}:${column}: `;
  const advice = fix === undefined ? "" : `\n  fix: ${visible(fix)}`;
  return `${visible(`${where}${severity}[${code}]: ${message}`)}${advice}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** XML has no way to write most control characters, so they are shown by their code points. */
function attribute(text: string): string {
  return escapeXml(visible(text));
}

/** Between tags text can have lines. */
function content(text: string): string {
  return escapeXml(visibleLines(text));
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
