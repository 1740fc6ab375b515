/**
 * What `inventory` adds to, and takes from, an inventory where it is asked to.
 *
 * @module
 */
import { readOpeners, withOpeners } from "../host/open_by.ts";
import type { TakenSnapshot } from "../host/read_snapshot.ts";
import { redactSnapshot } from "../host/redact.ts";
import type { ThisHost } from "./prepare_plan.ts";

/**
 * Replaces names and numbers by which a host is known.
 *
 * @param taken an inventory
 * @returns the same with aliases
 */
export function redacted(taken: TakenSnapshot): TakenSnapshot {
  return { ...taken, snapshot: redactSnapshot(taken.snapshot) };
}

/**
 * Adds who has devices open. A simulated host has no processes but those that its inventory tells of.
 *
 * @param taken an inventory
 * @param host whose
 * @returns the same with them
 */
export function withOwners(
  taken: TakenSnapshot,
  { files, simulated }: ThisHost,
): TakenSnapshot {
  if (simulated !== undefined) return taken;
  const found = readOpeners(files, taken.snapshot.functions);
  return {
    ...taken,
    snapshot: withOpeners(taken.snapshot, found),
    findings: [...taken.findings, ...found.findings],
  };
}
