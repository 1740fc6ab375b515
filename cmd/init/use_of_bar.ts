/**
 * What a BAR is: memory, if something says so, and else what it must be taken for.
 *
 * @module
 */
import type { BarRange } from "../../host/config_space.ts";
import type { SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";

/** Bytes of a BAR. */
export interface Range {
  readonly offset: bigint;
  readonly length: bigint;
}

/** A BAR that is known to be memory. */
export interface MemoryUse {
  /** By what it is known, after "taken for memory, for". */
  readonly by: string;
  /** Absent: all of it. */
  readonly part?: Range;
}

/** One that is not. */
export interface DeniedUse {
  /** What it is taken for. */
  readonly denied: string;
}

/** The BAR of an NVMe controller's registers. */
const NVME_REGISTERS = 0;
/** Memory devices of CXL, whose BARs are registers. */
const CXL_MEMORY = "0502";
const NOT_PREFETCHABLE = "registers, for reads of it can have effects (not prefetchable)";
/** Of functions whose BARs can be anything. */
const UNKNOWN = "nobody has said yet what is in it";

/**
 * @param entry the function
 * @param bar one of its BARs
 * @param guarded where its MSI-X structures are
 */
export function useOfBar(
  entry: SnapshotFunction,
  bar: SnapshotBar,
  guarded: readonly BarRange[],
): MemoryUse | DeniedUse {
  const { class: code } = entry;
  if (code.startsWith("0108")) return ofNvme(entry, bar);
  if (!bar.prefetchable) return { denied: NOT_PREFETCHABLE };
  switch (code.slice(0, 2)) {
    case "01":
      return { denied: "registers of a storage controller" };
    case "02":
      return { denied: "registers and doorbells of a network controller" };
    case "03":
    case "12":
      return ofAccelerator(entry, bar, guarded);
    case "05":
      return code.startsWith(CXL_MEMORY)
        ? { denied: "registers of a CXL memory device" }
        : { by: `it is a prefetchable BAR of a memory controller (class ${code})` };
    default:
      return { denied: UNKNOWN };
  }
}

/** Only the controller knows where its buffer is. */
function ofNvme(
  { controllerMemory }: SnapshotFunction,
  { index, size }: SnapshotBar,
): MemoryUse | DeniedUse {
  if (controllerMemory?.state === "enabled" && controllerMemory.bar === index) {
    const { offset, size: length } = controllerMemory;
    const by = "the controller answered that its memory buffer (CMB) is there";
    if (offset + length <= size) return { by, part: { offset, length } };
  }
  if (index === NVME_REGISTERS) return { denied: "controller registers and doorbells" };
  return controllerMemory === undefined
    ? { denied: "nobody has asked the controller what is in it (bargate inventory --probe)" }
    : { denied: "by its own answer the controller has no memory buffer there" };
}

/** Video memory is behind the largest; doorbells and registers are behind smaller ones. */
function ofAccelerator(
  { class: code, bars }: SnapshotFunction,
  bar: SnapshotBar,
  guarded: readonly BarRange[],
): MemoryUse | DeniedUse {
  const rival = bars.some(({ index, kind, prefetchable, size }) =>
    index !== bar.index && kind === "memory64" && prefetchable && size >= bar.size
  );
  if (rival || bar.kind !== "memory64") {
    return { denied: "registers or doorbells: it is not the largest prefetchable 64-bit BAR" };
  }
  if (guarded.some((range) => range.bar === bar.index)) {
    return { denied: "registers, for the MSI-X structures are among them" };
  }
  const what = code.startsWith("03") ? "a display controller" : "an accelerator";
  return { by: `it is the largest prefetchable 64-bit BAR of ${what} (class ${code})` };
}
