/**
 * A host that is a file, for `plan --inventory`.
 *
 * @module
 */
import { snapshotDiagnostic } from "../engine/snapshot_findings.ts";
import { MAX_SNAPSHOT_BYTES, parseSnapshot } from "../host/parse_snapshot.ts";
import { factsIn, type HostFacts } from "./prepare_plan.ts";
import { readBounded } from "./read_bounded.ts";

/**
 * Reads a host's inventory.
 *
 * @param file Snapshot v1
 * @returns its facts; if anything is wrong with it, none, and why
 * @throws {CommandError} usage: the file cannot be read
 */
export async function readInventory(file: string): Promise<HostFacts> {
  const { snapshot, problems } = parseSnapshot(
    await readBounded(file, "the inventory", MAX_SNAPSHOT_BYTES),
  );
  return {
    file,
    ...(snapshot === undefined ? {} : { pageSize: snapshot.pageSize }),
    diagnostics: problems.map((problem) => snapshotDiagnostic(problem, file)),
    take: () => snapshot === undefined ? undefined : factsIn(snapshot),
  };
}
