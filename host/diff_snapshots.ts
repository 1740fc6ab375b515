/**
 * What differs between two snapshots: by function and field, with both values as the files have them.
 *
 * @module
 */
import { comparePciAddresses } from "./address.ts";
import { type FieldValue, type ValueDifference, valueDifferences } from "./diff_values.ts";
import { functionJson, hostJson } from "./print_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "./snapshot.ts";

/** One difference. */
export interface SnapshotDifference {
  /** Absent: it is of the host as a whole. */
  readonly function?: string;
  /** `driver`, `bars.2.size`, `config.0x004`, `kernel.release`; absent: the whole function. */
  readonly field?: string;
  /** Absent: there is none in the first snapshot. */
  readonly old?: FieldValue;
  /** Absent: there is none in the second snapshot. */
  readonly new?: FieldValue;
}

/**
 * Compares two snapshots. There is no difference exactly if the files are the same byte for byte, but for
 * their descriptions, which are for people, and are not compared.
 *
 * @param old the first
 * @param now the second
 * @returns differences of the host, then of functions by address; each function's by field
 *
 * @example
 * ```ts
 * import { diffSnapshots } from "./diff_snapshots.ts";
 *
 * const host = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], functions: [] };
 * const [found] = diffSnapshots(host, { ...host, kernel: { release: "7.3.5" } });
 * if (found?.field !== "kernel.release" || found.new !== "7.3.5") throw new Error("wrong");
 * ```
 */
export function diffSnapshots(
  old: HostSnapshot,
  now: HostSnapshot,
): readonly SnapshotDifference[] {
  return [...valueDifferences(hostFields(old), hostFields(now)), ...diffFunctions(old, now)];
}

function diffFunctions(old: HostSnapshot, now: HostSnapshot): readonly SnapshotDifference[] {
  const before = new Map(old.functions.map((entry) => [entry.address, entry]));
  const after = new Map(now.functions.map((entry) => [entry.address, entry]));
  const addresses = [...new Set([...before.keys(), ...after.keys()])].sort(comparePciAddresses);
  return addresses.flatMap((address) => diffFunction(before.get(address), after.get(address)));
}

function diffFunction(
  old: SnapshotFunction | undefined,
  now: SnapshotFunction | undefined,
): readonly SnapshotDifference[] {
  if (old === undefined || now === undefined) {
    const [entry, side] = old === undefined ? [now, "new"] : [old, "old"];
    if (entry === undefined) return [];
    return [{ function: entry.address, [side]: `${entry.vendor}:${entry.device}` }];
  }
  const fields = [
    ...valueDifferences(functionFields(old), functionFields(now)),
    ...diffConfig(old.config, now.config),
  ];
  return fields.map((difference) => ({ function: old.address, ...difference }));
}

function side(name: "old" | "new", value: FieldValue | undefined): Partial<ValueDifference> {
  return value === undefined ? {} : { [name]: value };
}

/** Bytes that differ, each run of them once; what only one of them has is one run too. */
function diffConfig(old: Uint8Array, now: Uint8Array): readonly ValueDifference[] {
  const runs: ValueDifference[] = [];
  const length = Math.max(old.length, now.length);
  for (let at = 0; at < length; at++) {
    if (old[at] === now[at]) continue;
    const start = at;
    while (at < length && old[at] !== now[at]) at++;
    runs.push({
      field: `config.0x${start.toString(16).padStart(3, "0")}`,
      ...side("old", hexOf(old.subarray(start, at))),
      ...side("new", hexOf(now.subarray(start, at))),
    });
  }
  return runs;
}

function hexOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Configuration space is compared byte by byte. */
function functionFields(entry: SnapshotFunction): Record<string, unknown> {
  const { address: _address, config: _config, ...fields } = functionJson({
    ...entry,
    config: new Uint8Array(),
  });
  return fields;
}

function hostFields(snapshot: HostSnapshot): Record<string, unknown> {
  const { description: _description, ...fields } = hostJson(snapshot);
  return fields;
}
