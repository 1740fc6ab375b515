/**
 * Whether a host has the accounts, groups and executables that identities of importers name. Who a
 * process is can be seen only when it asks for its grants, or is started.
 *
 * @module
 */
import type { ImporterIdentity, ImporterRule, Placed } from "../../policy/model.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import type { PlannedGrant } from "../plan.ts";
import type { FactSource, NotChecked } from "./not_checked.ts";

/** What a name stands for on a host, if it could be looked up. */
export type Looked = "there" | "absent" | { readonly unknown: string };

/** A host's names. */
export interface HostNames {
  /** By name, or decimal uid. */
  user(name: string): Looked;
  /** By name, or decimal gid. */
  group(name: string): Looked;
  /** Absolute path; links are followed. */
  executable(path: string): Looked;
}

/** What was seen of identities. */
export interface IdentityFindings {
  readonly findings: readonly Finding[];
  readonly notChecked: readonly NotChecked[];
}

const LOOKED_UP = ["user", "group", "executable"] as const;
const OF_PROCESSES = "processes are looked at when they get their grants";

/**
 * @param grants that would be made
 * @param names of the host; absent: only this host's can be looked up
 * @param source where the other facts are from
 * @returns what is not there, and what could not be looked at
 */
export function importerIdentityFindings(
  grants: readonly PlannedGrant[],
  names: HostNames | undefined,
  source: FactSource = "inventory",
): IdentityFindings {
  const importers = new Map(grants.map(({ importer, importerName }) => [importerName, importer]));
  const seen = [...importers].map(([name, importer]) => identityOf(name, importer, names, source));
  return {
    findings: seen.flatMap(({ findings }) => findings),
    notChecked: seen.flatMap(({ notChecked }) => notChecked),
  };
}

function identityOf(
  name: string,
  { identity }: ImporterRule,
  names: HostNames | undefined,
  source: FactSource,
): IdentityFindings {
  if (names === undefined) {
    const why = source === "simulated"
      ? "a simulated host has no accounts and no processes"
      : "an inventory has no accounts and no processes";
    return {
      findings: [],
      notChecked: [{ what: unseen(name, identity, fieldsOf(identity)), why }],
    };
  }
  const findings: Finding[] = [];
  const notChecked: NotChecked[] = [];
  for (const field of LOOKED_UP) {
    const wanted = identity[field];
    if (wanted === undefined) continue;
    const looked = names[field](wanted.value);
    if (looked === "absent") findings.push(absent(name, field, wanted));
    else if (looked !== "there") {
      notChecked.push({ what: unseen(name, identity, [field]), why: looked.unknown });
    }
  }
  const others = fieldsOf(identity).filter((field) => !LOOKED_UP.some((known) => known === field));
  if (others.length > 0) {
    notChecked.push({ what: unseen(name, identity, others), why: OF_PROCESSES });
  }
  return { findings, notChecked };
}

function absent(name: string, field: string, { value, at }: Placed<string>): Finding {
  const kind = field === "user" ? "account" : field;
  return hostFinding("BG2044", at, `importer ${name}: this host has no ${kind} ${value}`);
}

function fieldsOf(identity: ImporterIdentity): readonly (keyof ImporterIdentity)[] {
  const fields: readonly (keyof ImporterIdentity)[] = [...LOOKED_UP, "unit", "cgroup", "sha256"];
  return fields.filter((field) => identity[field] !== undefined);
}

function unseen(
  name: string,
  identity: ImporterIdentity,
  fields: readonly (keyof ImporterIdentity)[],
): string {
  const values = fields.map((field) => `${field} ${identity[field]?.value}`);
  return `whether importer ${name} is there (${values.join(", ")})`;
}
