/**
 * What `preflight` found, host by host.
 *
 * @module
 */
import type { PlannedGrant } from "../../engine/plan.ts";
import type { InertDeny } from "../../engine/plan_denials.ts";
import type { NotChecked } from "../../engine/preflight/not_checked.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { diagnosticLines, type JunitCase } from "./junit.ts";
import type { Summary } from "./summary.ts";
import { jsonText } from "./json_text.ts";

/** One host. */
export interface HostReport {
  /** Its inventory's path, or what else it is known by. */
  readonly host: string;
  /** Absent: there are no facts of it. */
  readonly release?: string;
  readonly ready: boolean;
  readonly denied: boolean;
  /** Why it is not ready although nothing stands in the way. */
  readonly refused?: string;
  /** Its inventory could not be read. */
  readonly isUnread?: true;
  readonly diagnostics: readonly Diagnostic[];
  readonly grants: readonly PlannedGrant[];
  readonly notChecked: readonly NotChecked[];
  /** Denies of devices of which it has not even the kind; absent: it was not looked at. */
  readonly inertDenies?: readonly InertDeny[];
}

/** All of them. */
export interface PreflightReport {
  /** Digest of the policy set; absent if it is invalid. */
  readonly policy: string | undefined;
  /** Why the run has failed although nothing stands in the way. */
  readonly refused?: string;
  /** Of the policy set itself. */
  readonly diagnostics: readonly Diagnostic[];
  readonly hosts: readonly HostReport[];
  readonly summary: Summary;
}

/** Why warnings fail a run. */
const REFUSED = "Cannot accept warnings (--deny-warnings)";

/**
 * Takes warnings for errors: a host that has one is not ready, and where the policies have one nothing
 * is to be put into effect.
 *
 * @param report what was found
 */
export function denyingWarnings(report: PreflightReport): PreflightReport {
  if (report.policy === undefined || report.summary.warnings === 0) return report;
  const hosts = report.hosts.map((host) =>
    host.ready && host.diagnostics.some(({ severity }) => severity === "warning")
      ? { ...host, ready: false, refused: REFUSED }
      : host
  );
  return { ...report, refused: REFUSED, hosts };
}

/** Every diagnostic, with the host that it is about. */
export function hostDiagnostics({ diagnostics, hosts }: PreflightReport): readonly Diagnostic[] {
  const found = hosts.flatMap(({ host, diagnostics }) =>
    diagnostics.map((diagnostic): Diagnostic => ({ ...diagnostic, host }))
  );
  return [...diagnostics, ...found];
}

/** For writers that know of no hosts: each message names its own. */
export function namingHosts(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  return diagnostics.map((found) =>
    found.host === undefined ? found : { ...found, message: `${found.host}: ${found.message}` }
  );
}

/** How many hosts a message names; more are counted. */
const MAX_NAMED = 8;

/**
 * For writers that show each place once: what is true of several hosts is one diagnostic that names
 * them.
 *
 * @param diagnostics each with its host
 */
export function mergingHosts(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const ofNoHost = diagnostics.filter(({ host }) => host === undefined);
  const same = Map.groupBy(
    diagnostics.filter(({ host }) => host !== undefined),
    ({ host: _host, fix: _fix, ...rest }) => jsonText(rest),
  );
  return namingHosts([...ofNoHost, ...[...same.values()].flatMap(merged)]);
}

function merged(group: readonly Diagnostic[]): readonly Diagnostic[] {
  const [first] = group;
  const hosts = [...new Set(group.map(({ host }) => host))];
  if (first === undefined || hosts.length === 1) return group.slice(0, 1);
  const { fix, ...rest } = first;
  const more = hosts.length - MAX_NAMED;
  const names = `${hosts.slice(0, MAX_NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  // Advice that names a host's own file is none for the others.
  const isShared = fix !== undefined && group.every((other) => other.fix === fix);
  return [{ ...rest, host: `${hosts.length} hosts (${names})`, ...(isShared ? { fix } : {}) }];
}

/** As `validate` says it. */
export const REFUSED_TEXT = "refused by --deny-warnings";

/** How many hosts are ready, in words. */
export function readySum(
  { hosts, policy, refused, summary: { warnings } }: PreflightReport,
): string {
  if (policy === undefined) return "invalid policy";
  const { ready } = hostCounts(hosts);
  const of = `${ready} of ${hosts.length} ${hosts.length === 1 ? "host" : "hosts"} ready`;
  const why = refused === undefined
    ? ""
    : `; ${REFUSED_TEXT} (${warnings} ${warnings === 1 ? "warning" : "warnings"})`;
  return `${of}${why}; policy ${policy}`;
}

/** `{"policy":…,"diagnostics":[…],"hosts":[…],"summary":{…}}` */
export function preflightJson(report: PreflightReport): string {
  const { policy, refused, hosts, summary } = report;
  const value = {
    policy,
    refused,
    diagnostics: hostDiagnostics(report),
    hosts: hosts.map(hostJson),
    summary: { ...summary, ...hostCounts(hosts) },
  };
  return `${jsonText(value)}\n`;
}

/** A line for each diagnostic, one for each host, and the summary. */
export function preflightJsonl(report: PreflightReport): string {
  const { policy, refused, hosts, summary } = report;
  const values = [
    ...hostDiagnostics(report),
    ...hosts.map(hostJson),
    { policy, refused, summary: { ...summary, ...hostCounts(hosts) } },
  ];
  return values.map((value) => `${jsonText(value)}\n`).join("");
}

function hostJson(report: HostReport): unknown {
  const { host, release, ready, denied, refused, grants, notChecked } = report;
  return {
    host,
    release,
    ready,
    denied,
    refused,
    grants: grants.map((grant) => ({
      export: grant.export,
      importer: grant.importerName,
      device: grant.device.address,
      bar: grant.bar,
      revocation: grant.revocation,
    })),
    notChecked,
  };
}

/** How many hosts there are, and how many of them are ready. */
export function hostCounts(hosts: readonly HostReport[]): { hosts: number; ready: number } {
  return { hosts: hosts.length, ready: hosts.filter(({ ready }) => ready).length };
}

/**
 * A case for each host, which fails when the host is not ready, and one for the policies where there is
 * something to say of them.
 *
 * @param report what was found
 * @param denyWarnings whether warnings are failures
 */
export function preflightCases(
  { policy, diagnostics, hosts }: PreflightReport,
  denyWarnings: boolean,
): readonly JunitCase[] {
  const ofPolicies = { name: "policies", passes: policy !== undefined, diagnostics };
  return [
    ...diagnostics.length === 0 ? [] : [ofPolicies],
    ...hosts.map(({ host, ready, diagnostics }) => ({ name: host, passes: ready, diagnostics })),
  ].map((checked) => caseOf(checked, denyWarnings));
}

interface Checked {
  readonly name: string;
  readonly passes: boolean;
  readonly diagnostics: readonly Diagnostic[];
}

function caseOf({ name, passes, diagnostics }: Checked, denyWarnings: boolean): JunitCase {
  const fails = ({ severity }: Diagnostic) =>
    severity === "error" || (denyWarnings && severity === "warning");
  const [first, ...rest] = diagnostics.filter(fails);
  const other = diagnostics.filter((found) => !fails(found)).map(diagnosticLines).join("\n");
  const isFailure = first !== undefined && (!passes || first.severity === "warning");
  return {
    group: "preflight",
    name,
    ...(isFailure
      ? {
        failure: { message: first.message, text: [first, ...rest].map(diagnosticLines).join("\n") },
      }
      : {}),
    ...(other === "" ? {} : { output: other }),
  };
}
