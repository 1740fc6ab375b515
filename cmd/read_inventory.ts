/**
 * A host that is a file, for `plan --inventory`.
 *
 * @module
 */
import { snapshotDiagnostic } from "../engine/snapshot_findings.ts";
import { MAX_SNAPSHOT_BYTES, parseSnapshot } from "../host/parse_snapshot.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import { collectBounded } from "./policy_input.ts";
import type { HostFacts } from "./prepare_plan.ts";

/**
 * Reads a host's inventory.
 *
 * @param file Snapshot v1
 * @returns its facts; if anything is wrong with it, none, and why
 * @throws {CommandError} usage: the file cannot be read
 */
export async function readInventory(file: string): Promise<HostFacts> {
  const { snapshot, problems } = parseSnapshot(await readBounded(file));
  return {
    file,
    ...(snapshot === undefined ? {} : { pageSize: snapshot.pageSize }),
    diagnostics: problems.map((problem) => snapshotDiagnostic(problem, file)),
    snapshot: () => snapshot,
  };
}

/** Reads no more than shows that the file is too large: it could be a device without end. */
async function readBounded(path: string): Promise<Uint8Array> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (isFile && size <= MAX_SNAPSHOT_BYTES) return await Deno.readFile(path);
    const file = await Deno.open(path);
    return await collectBounded(file.readable, MAX_SNAPSHOT_BYTES);
  } catch (error) {
    throw new CommandError(
      `Cannot read the inventory ${path}: ${fileTrouble(error, "read")}`,
      ExitStatus.usage,
    );
  }
}
