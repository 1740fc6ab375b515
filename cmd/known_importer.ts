/**
 * `--importer`: the same name means the same, or nothing, with every verb.
 *
 * @module
 */
import type { PolicySet } from "../policy/model.ts";
import { resolveImporter } from "../policy/request.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/**
 * Refuses a name that no importer has, or more than one: a typing error is no denial, and two policies'
 * importers of one name can be different accounts.
 *
 * @param set the policy set
 * @param importer of the command line; absent: all are meant
 * @throws {CommandError} usage: it means none, or several
 */
export function refuseUnknownImporter(set: PolicySet, importer: string | undefined): void {
  if (importer === undefined) return;
  const found = resolveImporter(set, importer);
  if (found.ok) return;
  throw new CommandError(
    `Cannot use --importer: ${found.why} (received ${importer})`,
    ExitStatus.usage,
  );
}
