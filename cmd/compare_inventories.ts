/**
 * What `bargate inventory diff A B` does. Loaded only for it.
 *
 * @module
 */
import { diffSnapshots, type SnapshotDifference } from "../host/diff_snapshots.ts";
import { isRedacted } from "../host/redact.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import type { Context } from "./context.ts";
import { ExitStatus } from "./exit_status.ts";
import { humanDiagnostics } from "./output/human.ts";
import { jsonText } from "./output/json_text.ts";
import { visible } from "./output/visible.ts";
import { readInventory } from "./read_inventory.ts";

/** Options of the verb. */
export interface DiffFlags {
  readonly format: "human" | "json";
}

/** Says what differs between two inventories. */
export async function diff(
  this: Context,
  flags: DiffFlags,
  old: string,
  now: string,
): Promise<void> {
  const [before, after] = [await load(this, old), await load(this, now)];
  if (before === undefined || after === undefined) return this.exitWith(ExitStatus.hostNotReady);
  if (isRedacted(before) || isRedacted(after)) this.process.stderr.write(`${ALIASES}\n`);
  const differences = diffSnapshots(before, after);
  this.process.stdout.write(
    flags.format === "json" ? `${jsonText({ differences })}\n` : humanText(differences),
  );
  this.exitWith(differences.length === 0 ? ExitStatus.done : ExitStatus.denied);
}

/** Aliases are counted within one file. */
const ALIASES =
  "warning: a redacted inventory has aliases of its own, which cannot be compared with another's: that slots, names, processes, accounts or serial numbers differ, or are the same, says nothing";

/** @returns undefined: it is wrong, and why has been told */
async function load(context: Context, file: string): Promise<HostSnapshot | undefined> {
  const facts = await readInventory(file);
  if (facts.diagnostics.length > 0) {
    const { stderr } = context.process;
    stderr.write(humanDiagnostics(facts.diagnostics, {
      textOf: () => "",
      coloured: context.colours && stderr.isTerminal,
    }));
  }
  return facts.take(() => true)?.snapshot;
}

function humanText(differences: readonly SnapshotDifference[]): string {
  if (differences.length === 0) return "both inventories say the same\n";
  return differences.map((each) => `${visible(lineOf(each))}\n`).join("");
}

function lineOf({ function: address = "host", field, old, new: now }: SnapshotDifference): string {
  if (field === undefined) {
    return old === undefined
      ? `${address}: only in the second (${now})`
      : `${address}: only in the first (${old})`;
  }
  return `${address} ${field}: ${old ?? "none"} -> ${now ?? "none"}`;
}
