/**
 * Diagnostics as SARIF 2.1.0, for code scanning.
 *
 * @module
 */
import { CODES } from "../../policy/codes.ts";
import type { Diagnostic, Severity } from "../../policy/diagnostic.ts";
import { HOST_CODES } from "../../policy/host_codes.ts";
import { sha256 } from "../../policy/sha256.ts";
import { jsonText } from "./json_text.ts";
import type { Verdict } from "./summary.ts";

const SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/** What both lists of codes say of a code. */
interface Rule {
  readonly severity: Severity;
  readonly title: string;
  readonly why: string;
  readonly fix: string;
}

const RULES: ReadonlyMap<string, Rule> = new Map(Object.entries({ ...CODES, ...HOST_CODES }));

/**
 * One run of `bargate` with one result for each diagnostic; the verdict is among its properties.
 *
 * @returns a SARIF log, as text
 */
export function sarifDiagnostics(
  diagnostics: readonly Diagnostic[],
  verdict: Verdict = {},
): string {
  const codes = [...new Set(diagnostics.map(({ code }) => code))].sort();
  const run = {
    tool: { driver: { name: "bargate", rules: codes.map(ruleOf) } },
    // Columns of diagnostics are those of editors.
    columnKind: "utf16CodeUnits",
    results: resultsOf(diagnostics, codes),
    ...(Object.keys(verdict).length === 0 ? {} : { properties: verdict }),
  };
  return `${jsonText({ $schema: SCHEMA, version: "2.1.0", runs: [run] })}\n`;
}

function ruleOf(code: string): unknown {
  const rule = RULES.get(code);
  if (rule === undefined) return { id: code };
  return {
    id: code,
    shortDescription: { text: rule.title },
    fullDescription: { text: rule.why },
    help: { text: `Fix: ${rule.fix}\nSee docs/diagnostics.md#${code}` },
    defaultConfiguration: { level: rule.severity },
  };
}

function resultsOf(diagnostics: readonly Diagnostic[], codes: readonly string[]): unknown[] {
  const index = new Map(codes.map((code, at) => [code, at]));
  const met = new Map<string, number>();
  return diagnostics.map((found) => {
    const finding = fingerprintOf(found);
    const before = met.get(finding) ?? 0;
    met.set(finding, before + 1);
    return {
      ...resultOf(found, index.get(found.code)),
      partialFingerprints: { "bargateFinding/v1": `${finding}:${before + 1}` },
    };
  });
}

/**
 * What is the same of a finding in the next version of its file: not its line.
 */
function fingerprintOf({ code, host, file, pointer, message }: Diagnostic): string {
  const parts = [code, host ?? "", file ?? "", pointer ?? "", message];
  return sha256(new TextEncoder().encode(JSON.stringify(parts)));
}

function resultOf(found: Diagnostic, ruleIndex: number | undefined) {
  const { code, severity, message, fix, related = [] } = found;
  return {
    ruleId: code,
    ruleIndex,
    level: severity,
    message: { text: fix === undefined ? message : `${message}\nFix: ${fix}` },
    locations: locationsOf(found),
    ...(related.length === 0 ? {} : {
      relatedLocations: related.map((other, id) => ({
        id,
        message: { text: other.message },
        physicalLocation: placeOf(other),
      })),
    }),
  };
}

/** The place in the text, and the host that it is about. */
function locationsOf(found: Diagnostic): unknown[] {
  const { file, host } = found;
  if (file === undefined && host === undefined) return [];
  return [{
    ...(file === undefined ? {} : { physicalLocation: placeOf(found) }),
    ...(host === undefined ? {} : { logicalLocations: [{ name: host, kind: "resource" }] }),
  }];
}

type Place = Pick<Diagnostic, "file" | "line" | "column" | "endLine" | "endColumn">;

function placeOf({ file = "", line, column, endLine, endColumn }: Place): unknown {
  const artifactLocation = { uri: uriOf(file) };
  if (line === undefined) return { artifactLocation };
  const region = { startLine: line, startColumn: column, endLine, endColumn };
  return { artifactLocation, region };
}

/** A path as a URI reference: separators stay, the rest is escaped. */
function uriOf(file: string): string {
  if (file === "-") return "stdin";
  return file.split("/").map(encodeURIComponent).join("/");
}
