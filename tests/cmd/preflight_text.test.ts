/** `preflight` for people: many hosts. */
import assert from "node:assert/strict";
import type { HostReport, PreflightReport } from "../../cmd/output/preflight_report.ts";
import { preflightText } from "../../cmd/output/preflight_text.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";

function diagnostic(code: string, severity: Diagnostic["severity"], message: string): Diagnostic {
  return { code, severity, message, help: `docs/diagnostics.md#${code}` };
}

function host(name: string, part: Partial<HostReport> = {}): HostReport {
  const nothing = { denied: false, diagnostics: [], grants: [], notChecked: [] };
  return { host: name, release: "7.3.4", ready: true, ...nothing, ...part };
}

function told(hosts: readonly HostReport[]): string {
  const summary = { errors: 0, warnings: 0, files: 1, exports: 1 };
  const report: PreflightReport = { policy: "sha256:0", diagnostics: [], hosts, summary };
  return preflightText(report, { textOf: () => undefined, coloured: false });
}

const LIMITS = { what: "limits", why: "an inventory does not have them" };
const OPTIONS = { what: "options", why: "no configuration" };

Deno.test("what is true of several hosts is said once, and of whom", () => {
  const missing = diagnostic("BG2001", "error", "no device");
  const drifted = diagnostic("BG2031", "error", "another device");
  const warning = diagnostic("BG2044", "warning", "no account");
  assert.equal(
    told([
      host("a", { notChecked: [LIMITS], diagnostics: [warning] }),
      host("b", { ready: false, notChecked: [LIMITS, OPTIONS], diagnostics: [missing] }),
      host("c", { notChecked: [LIMITS], diagnostics: [warning] }),
      host("d", { ready: false, notChecked: [LIMITS], diagnostics: [missing, drifted] }),
      host("e", { ready: false, denied: true, notChecked: [LIMITS], diagnostics: [warning] }),
    ]),
    [
      "a: ready (Linux 7.3.4)",
      "b: not ready (Linux 7.3.4)",
      "  not checked: options (no configuration)",
      "c: ready (Linux 7.3.4)",
      "d: not ready (Linux 7.3.4)",
      "error[BG2031]: another device",
      "  help: docs/diagnostics.md#BG2031",
      "e: denied (Linux 7.3.4)",
      "on 3 hosts, all but b, d:",
      "warning[BG2044]: no account",
      "  help: docs/diagnostics.md#BG2044",
      "on all 5 hosts:",
      "  not checked: limits (an inventory does not have them)",
      "on 2 hosts, b, d:",
      "error[BG2001]: no device",
      "  help: docs/diagnostics.md#BG2001",
      "not ready b: BG2001: no device",
      "not ready d: BG2001: no device",
      "denied e:",
      "2 of 5 hosts ready; policy sha256:0",
      "",
    ].join("\n"),
  );
});

Deno.test("of one host everything is said in place", () => {
  const text = told([host("a", { notChecked: [LIMITS, OPTIONS] })]);
  assert.equal(
    text,
    [
      "a: ready (Linux 7.3.4)",
      "  not checked: limits (an inventory does not have them)",
      "  not checked: options (no configuration)",
      "1 of 1 host ready; policy sha256:0",
      "",
    ].join("\n"),
  );
});

Deno.test("a host that is given twice shares with itself what it lacks", () => {
  const text = told([host("a", { notChecked: [LIMITS] }), host("a", { notChecked: [LIMITS] })]);
  assert.equal(text.match(/not checked/g)?.length, 1);
});

Deno.test("a fleet of a kind takes a line for each host, and few more", () => {
  const names = Array.from({ length: 200 }, (_, at) => `host-${at}`);
  const lacks = Array.from({ length: 8 }, (_, at) => ({ what: `fact ${at}`, why: "unknown" }));
  const fleet = names.map((name, at) =>
    host(name, { notChecked: at % 2 === 0 ? [...lacks, OPTIONS] : lacks })
  );
  const lines = told(fleet).trimEnd().split("\n");
  assert.equal(lines.length, 200 + 1 + 8 + 1 + 1 + 1);
  const some = lines.find((line) => line.startsWith("on 100 hosts"));
  assert.match(some ?? "", /, host-14 and 92 more \(--format json names them\):$/);
});

Deno.test("names of hosts move no cursor and begin no line", () => {
  const named = (name: string) => host(name, { ready: false, notChecked: [LIMITS] });
  const text = told([named("a\x1b[2J"), named("b\nready: all"), host("c")]);
  assert.equal(text.includes("\x1b"), false);
  assert.doesNotMatch(text, /^ready: all/m);
});
