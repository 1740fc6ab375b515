/**
 * What `preflight` found, for people. What is true of several hosts is said once for them all: of
 * two hundred machines of a kind nobody reads the same lines two hundred times.
 *
 * @module
 */
import type { PlannedGrant } from "../../engine/plan.ts";
import type { NotChecked } from "../../engine/preflight/not_checked.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { humanDiagnostics, type HumanOptions, humanWriter } from "./human.ts";
import {
  type HostReport,
  type PreflightReport,
  readySum,
  REFUSED_TEXT,
} from "./preflight_report.ts";
import { type Style, styleFor } from "./style.ts";
import { visible } from "./visible.ts";

/** How many hosts are named where a line is true of several; programs get them all. */
const MAX_NAMED = 8;

/** A thing to say, as it is printed, and whether a blank line parts it from others of its kind. */
interface Said {
  readonly text: string;
  readonly isDiagnostic: boolean;
}

/** What is true of exactly these hosts. */
interface Shared {
  /** Their numbers, in order. */
  readonly hosts: readonly number[];
  readonly said: readonly Said[];
}

/**
 * For people: a host after the other, then what is true of several, then the hosts that are not ready
 * and the first reason, the sum last.
 *
 * @param report what was found
 * @param options how to write
 */
export function preflightText(report: PreflightReport, options: HumanOptions): string {
  const style = styleFor(options.coloured);
  const { diagnostics, hosts } = report;
  const write = humanWriter(options);
  const { own, shared } = apart(hosts.map((host) => saidOf(host, write)));
  const parts = [
    ...diagnostics.length === 0 ? [] : [humanDiagnostics(diagnostics, options)],
    ...hosts.map((host, at) => `${headOf(host, style)}${textOf(own[at] ?? [])}`),
    ...shared.map((group) => `${nameHosts(group.hosts, hosts, style)}\n${textOf(group.said)}`),
    ...hosts.length === 1 ? [] : [notReady(hosts, style)],
    `${readySum(report)}\n`,
  ];
  return parts.join("");
}

function headOf(report: HostReport, style: Style): string {
  const { host, release, ready } = report;
  const verdict = ready ? "ready" : style.error(whyNot(report));
  const kernel = release === undefined ? "" : ` (Linux ${visible(release)})`;
  return `${style.strong(visible(host))}: ${verdict}${kernel}\n`;
}

function whyNot({ denied, refused }: HostReport): string {
  if (refused !== undefined) return REFUSED_TEXT;
  return denied ? "denied" : "not ready";
}

function saidOf(
  { diagnostics, grants, notChecked }: HostReport,
  write: (found: Diagnostic) => string,
): Said[] {
  const line = (text: string): Said => ({ text, isDiagnostic: false });
  return [
    ...diagnostics.map((found) => ({
      text: write(found),
      isDiagnostic: true,
    })),
    ...grants.map((grant) => line(grantLine(grant))),
    ...notChecked.map((lack) => line(notCheckedLine(lack))),
  ];
}

function textOf(said: readonly Said[]): string {
  const diagnostics = said.filter(({ isDiagnostic }) => isDiagnostic).map(({ text }) => text);
  const lines = said.filter(({ isDiagnostic }) => !isDiagnostic).map(({ text }) => text);
  return `${diagnostics.join("\n")}${lines.join("")}`;
}

/** Parts what is true of one host from what is true of several. */
function apart(
  hosts: readonly (readonly Said[])[],
): { readonly own: readonly (readonly Said[])[]; readonly shared: readonly Shared[] } {
  const byText = new Map<string, { readonly said: Said; readonly hosts: Set<number> }>();
  for (const [at, said] of hosts.entries()) {
    for (const one of said) {
      const known = byText.get(one.text) ?? { said: one, hosts: new Set() };
      byText.set(one.text, known);
      known.hosts.add(at);
    }
  }
  const isOwn = ({ text }: Said) => byText.get(text)?.hosts.size === 1;
  const several = [...byText.values()].filter(({ hosts }) => hosts.size > 1);
  const groups = Map.groupBy(several, ({ hosts }) => [...hosts].join());
  return {
    own: hosts.map((said) => said.filter(isOwn)),
    shared: [...groups.values()].map((group) => ({
      hosts: [...group[0]?.hosts ?? []],
      said: group.map(({ said }) => said),
    })),
  };
}

function nameHosts(
  wanted: readonly number[],
  all: readonly HostReport[],
  { strong }: Style,
): string {
  if (wanted.length === all.length) return strong(`on all ${all.length} hosts:`);
  const named = new Set(wanted);
  const others = [...all.keys()].filter((at) => !named.has(at));
  const names = (numbers: readonly number[]) =>
    numbers.slice(0, MAX_NAMED).map((at) => visible(all[at]?.host ?? "")).join(", ");
  // The shorter list says more, where it can be given whole.
  if (others.length <= MAX_NAMED && others.length < wanted.length) {
    return strong(`on ${wanted.length} hosts, all but ${names(others)}:`);
  }
  const more = wanted.length - MAX_NAMED;
  const rest = more > 0 ? ` and ${more} more (--format json names them)` : "";
  return strong(`on ${wanted.length} hosts, ${names(wanted)}${rest}:`);
}

/** At the end, where it is seen without scrolling. */
function notReady(hosts: readonly HostReport[], style: Style): string {
  return hosts.filter(({ ready }) => !ready).map((report) => {
    const { host, refused, diagnostics } = report;
    const decisive = refused === undefined ? "error" : "warning";
    const first = diagnostics.find(({ severity }) => severity === decisive);
    const why = first === undefined ? "" : ` ${first.code}: ${first.message}`;
    return `${style.error(whyNot(report))} ${visible(`${host}:${why}`)}\n`;
  }).join("");
}

function grantLine(grant: PlannedGrant): string {
  const what = `${grant.export} -> ${grant.importerName}`;
  const where = `${grant.device.address} BAR ${grant.bar}`;
  return `  ${visible(`${what}: ${where}, taken back by ${grant.revocation.join(", then ")}`)}\n`;
}

function notCheckedLine({ what, why }: NotChecked): string {
  return `  ${visible(`not checked: ${what} (${why})`)}\n`;
}
