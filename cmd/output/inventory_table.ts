/**
 * A host's inventory for people.
 *
 * @module
 */
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";
import { formatQuantity } from "../../policy/quantity.ts";
import { visible } from "./visible.ts";

const HEADS = ["ADDRESS", "ID", "CLASS", "DRIVER", "GROUP", "NUMA", "NODE", "NAMES", "BARS"];

/**
 * Writes one line for each function.
 *
 * @param snapshot of the host
 * @param shown whether a function is shown
 *
 * @example
 * ```ts
 * import { inventoryTable } from "./inventory_table.ts";
 *
 * const kernel = { release: "7.3.4" };
 * const text = inventoryTable({ kernel, pageSize: 4096, iommu: [], functions: [] }, () => true);
 * if (!text.startsWith("Linux 7.3.4, pages of 4KiB, no IOMMU\n")) throw new Error(text);
 * ```
 */
export function inventoryTable(
  snapshot: HostSnapshot,
  shown: (entry: SnapshotFunction) => boolean,
): string {
  const { kernel, pageSize, iommu, functions } = snapshot;
  const names = namesOf(snapshot);
  const units = iommu.length === 0 ? "no IOMMU" : `IOMMU ${iommu.join(" ")}`;
  const pages = formatQuantity(BigInt(pageSize));
  const head = `Linux ${kernel.release}, pages of ${pages}, ${units}`;
  const rows = functions.filter(shown).map((entry) => rowOf(entry, names.get(entry.address) ?? []));
  return `${visible(head)}\n${table([HEADS, ...rows])}`;
}

/** What a function is called, whatever kind of device is behind it. */
function namesOf({ rdma = [], drm = [], nvme = [] }: HostSnapshot): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const { name, function: address } of [...nvme, ...rdma, ...drm]) {
    if (address === undefined) continue;
    const others = names.get(address);
    if (others === undefined) names.set(address, [name]);
    else others.push(name);
  }
  return names;
}

function rowOf(entry: SnapshotFunction, names: readonly string[]): string[] {
  return [
    entry.address,
    `${entry.vendor}:${entry.device}`,
    entry.class,
    entry.driver ?? "-",
    `${entry.iommuGroup ?? "-"}`,
    `${entry.numaNode ?? "-"}`,
    nodeOf(entry),
    names.join(" ") || "-",
    entry.bars.map(barText).join(" "),
  ].map(visible);
}

/** By which node it could be opened, which says most about a function that could be exported from. */
function nodeOf({ driver, cdev, groupNode }: SnapshotFunction): string {
  return cdev ?? (driver === "vfio-pci" ? groupNode : undefined) ?? "-";
}

function barText({ index, kind, size }: SnapshotBar): string {
  return `${index}:${formatQuantity(size)}${kind === "io" ? " I/O" : ""}`;
}

function table(rows: readonly (readonly string[])[]): string {
  // One by one: a call takes no more arguments than the stack has room for.
  const widths = HEADS.map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0)
  );
  return rows.map((row) =>
    `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`
  ).join("");
}
