/**
 * Where the memory buffer of an NVMe controller is, by what a snapshot has of it.
 *
 * @module
 */
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { HostCode } from "../policy/host_codes.ts";
import { baseOf, bytesInBar } from "./planned_memory.ts";

/** Where it is, or why that is not known. */
export type FoundMemory =
  /** Bytes, within the BAR that was asked for. */
  | { readonly is: "known"; readonly offset: bigint; readonly size: bigint }
  | { readonly is: "unknown"; readonly code: HostCode; readonly why: string };

/**
 * Finds the buffer that a rule means.
 *
 * @param entry a controller
 * @param bar that the rule names
 * @param mayEnable whether the policy lets Bargate enable it
 *
 * @example
 * ```ts
 * import { controllerMemory } from "./controller_memory.ts";
 *
 * const controllerMemoryBuffer = { state: "enabled", bar: 2, offset: 0n, size: 16n << 20n } as const;
 * const config = new Uint8Array(256);
 * const bars = [
 *   { index: 2, kind: "memory64", start: 0n, size: 16n << 20n, prefetchable: true },
 * ] as const;
 * const entry = { address: "0000:03:00.0", config, bars, controllerMemory: controllerMemoryBuffer };
 * if (controllerMemory(entry, 2, false).is !== "known") throw new Error("wrong");
 * if (controllerMemory(entry, 4, false).is !== "unknown") throw new Error("wrong");
 * ```
 */
export function controllerMemory(
  entry: Pick<SnapshotFunction, "address" | "config" | "bars" | "controllerMemory">,
  bar: number,
  mayEnable: boolean,
): FoundMemory {
  const { address, controllerMemory: memory } = entry;
  if (memory === undefined) {
    return unknown(
      "BG2025",
      `what is known of ${address} does not say where its memory buffer is`,
    );
  }
  if (memory.state === "none") {
    return unknown("BG2027", `${address} has no controller memory buffer`);
  }
  if (memory.state === "disabled" && !mayEnable) {
    return unknown("BG2026", `the memory buffer of ${address} is not enabled`);
  }
  if (!("bar" in memory)) {
    const why = "where it would be then is not known";
    return unknown("BG2029", `the memory buffer of ${address} is not enabled, and ${why}`);
  }
  if (memory.bar !== bar) {
    return unknown(
      "BG2028",
      `the memory buffer of ${address} is in BAR ${memory.bar}, and not in BAR ${bar}`,
    );
  }
  if (memory.state === "disabled" && baseOf(entry, memory) === undefined) {
    const why = `its registers do not say where BAR ${bar} is on the bus`;
    return unknown("BG2029", `the memory buffer of ${address} is not enabled, and ${why}`);
  }
  const size = bytesInBar(entry, memory);
  if (memory.state === "disabled" && size !== memory.size) {
    const why = `it would take addresses behind BAR ${bar} for its own`;
    return unknown("BG2029", `the memory buffer of ${address} is not enabled, and ${why}`);
  }
  return { is: "known", offset: memory.offset, size };
}

function unknown(code: HostCode, why: string): FoundMemory {
  return { is: "unknown", code, why };
}
