/**
 * What differs between two snapshots: by function and field, with both values as the files have them.
 *
 * @module
 */
import { functionJson } from "./print_snapshot.ts";
import type { HostSnapshot, NamedDevice, SnapshotFunction } from "./snapshot.ts";

/** A value as a snapshot's file has it. */
export type FieldValue = string | number | boolean;

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

type Fields = ReadonlyMap<string, FieldValue>;

/**
 * Compares two snapshots. Their descriptions are for people, and are not compared.
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
  return [...diffFields(hostFields(old), hostFields(now)), ...diffFunctions(old, now)];
}

function diffFunctions(old: HostSnapshot, now: HostSnapshot): readonly SnapshotDifference[] {
  const before = new Map(old.functions.map((entry) => [entry.address, entry]));
  const after = new Map(now.functions.map((entry) => [entry.address, entry]));
  const addresses = [...new Set([...before.keys(), ...after.keys()])].sort();
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
    ...diffFields(functionFields(old), functionFields(now)),
    ...diffConfig(old.config, now.config),
  ];
  return fields.map((difference) => ({ function: old.address, ...difference }));
}

function diffFields(old: Fields, now: Fields): readonly SnapshotDifference[] {
  const names = [...new Set([...old.keys(), ...now.keys()])];
  return names.filter((field) => old.get(field) !== now.get(field)).map((field) => ({
    field,
    ...side("old", old.get(field)),
    ...side("new", now.get(field)),
  }));
}

function side(name: "old" | "new", value: FieldValue | undefined): Partial<SnapshotDifference> {
  return value === undefined ? {} : { [name]: value };
}

/** Bytes that differ, each run of them once; what only one of them has is one run too. */
function diffConfig(old: Uint8Array, now: Uint8Array): readonly SnapshotDifference[] {
  const runs: SnapshotDifference[] = [];
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

function functionFields(entry: SnapshotFunction): Fields {
  const { address: _address, config: _config, ...json } = functionJson({
    ...entry,
    config: new Uint8Array(),
  });
  return flat(json);
}

function hostFields({ kernel, pageSize, iommu, rdma, drm, nvme, ...rest }: HostSnapshot): Fields {
  const { description: _description, functions: _functions, ...others } = rest;
  return flat({
    kernel,
    pageSize,
    iommu: [...iommu],
    rdma: named(rdma),
    drm: named(drm),
    nvme: named(nvme),
    ...others,
  });
}

/** By name: `rdma.mlx5_0` is the address of its function. */
function named(devices: readonly NamedDevice[] | undefined): unknown {
  if (devices === undefined) return undefined;
  return Object.fromEntries(
    devices.map((device) => [device.name, device.function ?? "no PCI function"]),
  );
}

/** What an item of a list is known by: the first of these fields that it has. */
const KEYS = ["index", "field", "pid"] as const;

/** Every single value with the way to it. */
function flat(value: unknown, path = "", found = new Map<string, FieldValue>()): Fields {
  if (Array.isArray(value)) {
    const simple = value.every((item) => typeof item !== "object");
    if (simple && value.length > 0) found.set(path, value.join(" "));
    else if (!simple) { for (const item of value) flatItem(item, path, found); }
  } else if (typeof value === "object" && value !== null) {
    for (const [key, below] of Object.entries(value)) {
      flat(below, path === "" ? key : `${path}.${key}`, found);
    }
  } else if (value !== undefined) found.set(path, value as FieldValue);
  return found;
}

function flatItem(item: Record<string, unknown>, path: string, found: Map<string, FieldValue>) {
  const key = KEYS.find((name) => item[name] !== undefined) ?? "";
  const { [key]: name, ...rest } = item;
  flat(rest, `${path}.${name}`, found);
}
