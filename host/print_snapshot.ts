/**
 * Snapshot v1 as JSON text. The same snapshot gives the same bytes: keys in a fixed order, 64-bit
 * numbers and configuration space as hexadecimal strings.
 *
 * @module
 */
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "./snapshot.ts";

/** `apiVersion` of the file. */
export const SNAPSHOT_API_VERSION = "bargate/v1";
/** `kind` of the file. */
export const SNAPSHOT_KIND = "HostSnapshot";

/**
 * Writes a snapshot piece by piece: a large one would not fit into one string.
 *
 * @param snapshot to write
 * @returns pieces of JSON text, which end with a newline
 *
 * @example
 * ```ts
 * import { printSnapshot } from "./print_snapshot.ts";
 *
 * const kernel = { release: "7.3.4" };
 * const text = [...printSnapshot({ kernel, pageSize: 4096, iommu: [], functions: [] })].join("");
 * if (JSON.parse(text).kind !== "HostSnapshot") throw new Error("wrong");
 * ```
 */
export function* printSnapshot(snapshot: HostSnapshot): Generator<string, void> {
  const { description, kernel, pageSize, iommu, functions } = snapshot;
  const head = JSON.stringify(
    {
      apiVersion: SNAPSHOT_API_VERSION,
      kind: SNAPSHOT_KIND,
      description,
      kernel: { release: kernel.release },
      pageSize,
      iommu,
    },
    null,
    2,
  );
  yield `${head.slice(0, -2)},\n  "functions": [`;
  let separator = "\n    ";
  for (const entry of functions) {
    yield separator + JSON.stringify(functionJson(entry), null, 2).replaceAll("\n", "\n    ");
    separator = ",\n    ";
  }
  yield functions.length === 0 ? "]\n}\n" : "\n  ]\n}\n";
}

/** Keys in the order of the file; those that are undefined are left out. */
function functionJson(entry: SnapshotFunction): Record<string, unknown> {
  return {
    address: entry.address,
    vendor: entry.vendor,
    device: entry.device,
    subsystem: entry.subsystem,
    class: entry.class,
    driver: entry.driver,
    iommuGroup: entry.iommuGroup,
    numaNode: entry.numaNode,
    physfn: entry.physfn,
    parent: entry.parent,
    slot: entry.slot,
    cdev: entry.cdev,
    groupNode: entry.groupNode,
    resetMethods: entry.resetMethods,
    powerState: entry.powerState,
    config: bytesHex(entry.config),
    bars: entry.bars.map(barJson),
    unreadable: entry.unreadable.map(({ field, right }) => ({ field, right })),
  };
}

function barJson({ index, kind, start, size, prefetchable }: SnapshotBar): Record<string, unknown> {
  const flags = prefetchable ? ["prefetchable"] : [];
  return { index, kind, start: hex(start), size: hex(size), flags };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function bytesHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
