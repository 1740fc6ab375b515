/**
 * Whether a policy set can be put into effect on a host: everything that the plan needs, and what
 * opens, attaches and takes back when it is carried out. Pure, and opens nothing.
 *
 * @module
 */
import type { ProcessAccount, ProcessLimits } from "../../host/own_process.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { PolicySet } from "../../policy/model.ts";
import { controllersToAsk } from "../controllers_to_ask.ts";
import type { Finding } from "../host_findings.ts";
import { examine, type PlannedGrant, type PlanOptions } from "../plan.ts";
import type { InertDeny } from "../plan_denials.ts";
import { planNotes } from "../plan_notes.ts";
import { deviceStateFindings } from "./device_state_findings.ts";
import { importerDriverFindings, importerDriversNotChecked } from "./importer_driver_findings.ts";
import { type HostNames, importerIdentityFindings } from "./importer_identity_findings.ts";
import { kernelOptionFindings } from "./kernel_option_findings.ts";
import { limitFindings } from "./limit_findings.ts";
import { meansFindings } from "./means_findings.ts";
import { openerFindings } from "./opener_findings.ts";
import { nodeFindings } from "./node_findings.ts";
import {
  type FactSource,
  type Looking,
  type NotChecked,
  notChecked,
  type ProcessFact,
  unjudged,
} from "./not_checked.ts";

/** What to look for, and for whom. */
export interface PreflightOptions extends PlanOptions {
  /** Who will export; absent: not known, and listed so where it matters. */
  readonly account?: ProcessAccount;
  /** Of the process that will export; absent: not known. */
  readonly limits?: ProcessLimits;
  /** Where the facts are from; absent: a file. */
  readonly source?: FactSource;
  /** Why something of the process could not be read. */
  readonly unread?: NonNullable<Looking["unread"]>;
  /** Of the host; absent: nobody can look them up. */
  readonly names?: HostNames;
  /** Devices are opened and asked afterwards. */
  readonly live?: boolean;
}

/** What is known of one host beforehand. */
export interface Preflight {
  readonly host: { readonly release: string; readonly pageSize: number };
  /** There is no error. */
  readonly ready: boolean;
  /** One of the errors is a refusal by policy. */
  readonly denied: boolean;
  /** What could be exported if nothing else stood in the way. */
  readonly grants: readonly PlannedGrant[];
  readonly diagnostics: readonly Diagnostic[];
  /** Denies of devices of which the host has not even the kind. */
  readonly inertDenies: readonly InertDeny[];
  /** What nobody could look at, and why. */
  readonly notChecked: readonly NotChecked[];
}

/**
 * Checks beforehand.
 *
 * @param set the policy set
 * @param host what is there
 * @param options what to look for
 */
export function preflight(
  set: PolicySet,
  host: HostSnapshot,
  options: PreflightOptions = {},
): Preflight {
  const { findings: all, grants, inertDenies } = examine(set, host, options);
  const { planned, unasked } = withoutUnasked(all, controllersUnasked(set, host, options));
  const nodes = nodeFindings(host, grants, options.account);
  const states = deviceStateFindings(host, grants);
  const openers = openerFindings(host, grants, options.live);
  const identities = importerIdentityFindings(grants, options.names, options.source);
  const findings: readonly Finding[] = [
    ...planned,
    ...kernelOptionFindings(host, grants),
    ...nodes.findings,
    ...states.findings,
    ...openers.findings,
    ...importerDriverFindings(host, grants),
    ...identities.findings,
    ...limitFindings(grants, options.limits),
    ...meansFindings(grants),
    ...planNotes(grants, host.kernel.release, options.acceptUnwaitedRevoke),
  ];
  const diagnostics = findings.map(({ diagnostic }) => diagnostic);
  return {
    host: { release: host.kernel.release, pageSize: host.pageSize },
    ready: !diagnostics.some(({ severity }) => severity === "error"),
    denied: findings.some(({ denied }) => denied),
    grants,
    diagnostics,
    inertDenies,
    notChecked: [
      ...notChecked(host, grants, { ...options, known: knownOf(options) }),
      ...unjudged(diagnostics),
      ...importerDriversNotChecked(host, grants),
      ...openers.notChecked,
      ...nodes.notChecked,
      ...states.notChecked,
      ...identities.notChecked,
      ...unasked,
    ],
  };
}

/** Of a host that is a file nobody will be asked. */
function controllersUnasked(
  set: PolicySet,
  host: HostSnapshot,
  options: PreflightOptions,
): readonly string[] {
  const { source = "inventory" } = options;
  if (source !== "this-host") return [];
  return controllersToAsk(set, host, options).map(({ entry }) => entry.address);
}

/** What `export` asks for itself is nothing that stands in its way. */
function withoutUnasked(
  findings: readonly Finding[],
  addresses: readonly string[],
): { readonly planned: readonly Finding[]; readonly unasked: readonly NotChecked[] } {
  const isUnasked = ({ diagnostic: { code }, about }: Finding) =>
    code === "BG2025" && about !== undefined && addresses.includes(about);
  return {
    planned: findings.filter((finding) => !isUnasked(finding)),
    unasked: addresses.map((address) => ({
      what: `where the memory buffer of ${address} is, and whether it may be exported`,
      why: "the controller is asked when it is opened: with --live, and by export",
    })),
  };
}

function knownOf(options: PreflightOptions): ReadonlySet<ProcessFact> {
  const facts = ["account", "limits"] as const;
  return new Set(facts.filter((fact) => options[fact] !== undefined));
}
