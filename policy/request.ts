/**
 * Requests in the names of policies.
 *
 * @module
 */
import type { AccessRequest } from "./decide.ts";
import type { Policy, PolicySet } from "./model.ts";
import type { NamedRequest } from "./policy_test.ts";
import { suggest } from "./suggest.ts";

/** The request with its policy, or why it cannot be asked. */
export type ResolvedRequest =
  | { readonly ok: true; readonly request: AccessRequest }
  | { readonly ok: false; readonly why: string };

/**
 * Finds the policy that a request means.
 *
 * @param set the policy set
 * @param named its importer is `policy/importer`, or the importer alone where only one policy has it
 */
export function resolveRequest(set: PolicySet, named: NamedRequest): ResolvedRequest {
  const { importer, ...rest } = named;
  const found = resolveImporter(set, importer);
  if (!found.ok) return found;
  const { policy, name } = found;
  if (!policy.devices.has(named.device)) {
    const meant = suggest(named.device, policy.devices.keys());
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    return { ok: false, why: `policy ${policy.name} has no device ${named.device}${hint}` };
  }
  return { ok: true, request: { ...rest, policy: policy.name, importer: name } };
}

/** The importer's policy and its name in it, or why there is no such importer. */
export type ResolvedImporter =
  | { readonly ok: true; readonly policy: Policy; readonly name: string }
  | { readonly ok: false; readonly why: string };

/**
 * Finds the importer that a name means.
 *
 * @param set the policy set
 * @param importer `policy/importer`, or the importer alone where only one policy has it
 */
export function resolveImporter(set: PolicySet, importer: string): ResolvedImporter {
  const found = set.policies.filter((policy) => nameIn(policy, importer) !== undefined);
  const [policy] = found;
  if (policy === undefined) return { ok: false, why: unknownImporter(set, importer) };
  if (found.length > 1) {
    const names = found.map(({ name }) => `${name}/${importer}`).join(" or ");
    return { ok: false, why: `the importer is not the only one of its name: write ${names}` };
  }
  return { ok: true, policy, name: nameIn(policy, importer) ?? importer };
}

/** The importer's own name, absent when it is not one of this policy. */
function nameIn({ name, importers }: Policy, importer: string): string | undefined {
  if (importers.has(importer)) return importer;
  const own = importer.startsWith(`${name}/`) ? importer.slice(name.length + 1) : "";
  return importers.has(own) ? own : undefined;
}

function unknownImporter(set: PolicySet, importer: string): string {
  const names = set.policies.flatMap(({ name, importers }) =>
    [...importers.keys()].flatMap((own) => [own, `${name}/${own}`])
  );
  const meant = suggest(importer, names);
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return `no policy has an importer ${importer}${hint}`;
}
