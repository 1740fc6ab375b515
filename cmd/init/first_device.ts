/**
 * What `init` makes of one function: what is denied, what could be exported, and what stands in the
 * way. Only a BAR that is known to be memory has an example; all others are denied, for more denied is
 * safer than less.
 *
 * @module
 */
import {
  type ProtectedRange,
  protectedRanges,
  whyNotKnown,
} from "../../engine/protected_ranges.ts";
import { type IommuGroups, isVfioDriver } from "../../host/group_viability.ts";
import { whyNoIommu } from "../../host/no_iommu.ts";
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";
import { formatQuantity } from "../../policy/quantity.ts";
import { type MemoryUse, type Range, useOfBar } from "./use_of_bar.ts";

/** What must never leave. */
export interface FirstDeny {
  readonly bar: number;
  /** Absent: all of the BAR. */
  readonly range?: Range;
  readonly reason: string;
}

/** A BAR of which a page could be exported. */
export interface FirstExample {
  readonly bar: SnapshotBar;
  /** Where the page starts. */
  readonly offset: bigint;
  /** By what the BAR is taken for memory. */
  readonly by: string;
}

/** A device of the policy. */
export interface FirstDevice {
  /** In the policy. */
  readonly name: string;
  readonly entry: SnapshotFunction;
  readonly denies: readonly FirstDeny[];
  readonly examples: readonly FirstExample[];
  /** Remarks about BARs, by index. */
  readonly remarks: ReadonlyMap<number, string>;
  /** Why nothing can be exported from it as it is. */
  readonly inTheWay: readonly string[];
  /** What is worth knowing besides. */
  readonly notes: readonly string[];
}

const VFIO_PCI = "vfio-pci";
const BARS = [0, 1, 2, 3, 4, 5];
/** Classes of PCI functions, by their first digits. */
const KINDS: readonly (readonly [string, string])[] = [
  ["0108", "nvme"],
  ["01", "storage"],
  ["02", "net"],
  ["03", "gpu"],
  ["05", "memory"],
  ["12", "accelerator"],
];
/** What holds a group is named so often. */
const MOST_SPOILERS = 4;
const OUTSIDE = "not known to be memory";

/**
 * @param host on which the function is
 * @param groups of the same host
 * @param entry the function
 */
export function firstDevice(
  host: HostSnapshot,
  groups: IommuGroups,
  entry: SnapshotFunction,
): FirstDevice {
  const judge = new Judge(
    BigInt(host.pageSize),
    entry,
    protectedRanges(entry.config, host.pageSize),
  );
  judge.run();
  return {
    name: `${kindOf(entry)}-${entry.address.replaceAll(":", "-")}`,
    entry,
    denies: judge.denies,
    examples: judge.examples,
    remarks: judge.remarks,
    inTheWay: inTheWay(host, groups, entry),
    notes: [...controllerMemory(entry), ...mayBeInTheWay(groups, entry)],
  };
}

function kindOf({ class: code }: SnapshotFunction): string {
  return KINDS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "pci";
}

class Judge {
  readonly denies: FirstDeny[] = [];
  readonly examples: FirstExample[] = [];
  readonly remarks = new Map<number, string>();

  constructor(
    private readonly page: bigint,
    private readonly entry: SnapshotFunction,
    private readonly guarded: readonly ProtectedRange[] | undefined,
  ) {}

  run(): void {
    for (const bar of this.entry.bars) this.#bar(bar);
    if (this.denies.length > 0) return;
    // A device that no rule uses is worth a warning, and one that is not there cannot be denied.
    const free = BARS.find((index) => !this.entry.bars.some((bar) => bar.index === index));
    const last = this.entry.bars.at(-1)?.index ?? 0;
    if (free !== undefined) this.#deny(free, "the device has no such BAR");
    else {
      this.examples.splice(0, Infinity, ...this.examples.filter(({ bar }) => bar.index !== last));
      this.#deny(last, "nobody has said yet what is in it");
    }
  }

  #bar(bar: SnapshotBar): void {
    const isSmall = bar.kind !== "io" && bar.size < this.page;
    if (isSmall) this.remarks.set(bar.index, "less than a page, so that it cannot be exported");
    const use = this.guarded === undefined
      ? { denied: "where its MSI-X table is is not known" }
      : useOfBar(this.entry, bar, this.guarded);
    if (bar.kind === "io") this.remarks.set(bar.index, "I/O ports cannot be exported");
    else if ("denied" in use) this.#deny(bar.index, use.denied);
    else this.#memory(bar, use);
  }

  #deny(bar: number, reason: string, range?: Range): void {
    this.denies.push({ bar, reason, ...(range === undefined ? {} : { range }) });
  }

  #memory(bar: SnapshotBar, { by, part = { offset: 0n, length: bar.size } }: MemoryUse): void {
    if (bar.size < this.page) return;
    const start = (part.offset + this.page - 1n) / this.page * this.page;
    const end = (part.offset + part.length) / this.page * this.page;
    if (start >= end) return this.#deny(bar.index, "no whole page of it is known to be memory");
    if (start > 0n) this.#deny(bar.index, OUTSIDE, { offset: 0n, length: start });
    const guarded = (this.guarded ?? []).filter((range) =>
      range.bar === bar.index && range.offset < end && start < range.offset + range.length
    );
    for (const { offset, length, what } of guarded) {
      const from = offset < start ? start : offset;
      const to = offset + length < end ? offset + length : end;
      const reason = what === "msix-table" ? "MSI-X table" : "MSI-X pending bit array";
      this.#deny(bar.index, reason, { offset: from, length: to - from });
    }
    if (end < bar.size) this.#deny(bar.index, OUTSIDE, { offset: end, length: bar.size - end });
    const offset = this.#freePage(start, end, guarded);
    if (offset === undefined) this.remarks.set(bar.index, "every page of it is protected");
    else this.examples.push({ bar, offset, by });
  }

  /** The first page that is free: at the start, or behind something protected. */
  #freePage(first: bigint, end: bigint, guarded: readonly ProtectedRange[]): bigint | undefined {
    const starts = [first, ...guarded.map(({ offset, length }) => offset + length)];
    return starts.sort((a, b) => a < b ? -1 : 1).find((start) =>
      start >= first && start + this.page <= end &&
      !guarded.some(({ offset, length }) => start < offset + length && offset < start + this.page)
    );
  }
}

/** The same that `plan` would find, in words for a comment. */
function inTheWay(
  host: HostSnapshot,
  groups: IommuGroups,
  entry: SnapshotFunction,
): readonly string[] {
  const { driver, cdev, groupNode, config } = entry;
  const viability = groups.viability(entry);
  const spoilers = viability?.spoilers(MOST_SPOILERS) ?? [];
  const more = (viability?.spoilerCount ?? 0) - spoilers.length;
  const unconfined = whyNoIommu(host, entry);
  const code = driver !== undefined && isVfioDriver(driver) ? "BG2032" : "BG2003";
  return [
    ...(driver === VFIO_PCI ? [] : [
      `it is bound to ${
        driver ?? "no driver"
      }, and Bargate exports from ${VFIO_PCI} only (${code})`,
    ]),
    ...(unconfined === undefined ? [] : [`no IOMMU confines it: ${unconfined} (BG2207)`]),
    ...(driver === VFIO_PCI && cdev === undefined && groupNode === undefined
      ? ["there is no VFIO node to open it by (BG2004)"]
      : []),
    ...(protectedRanges(config, host.pageSize) === undefined
      ? [`${whyNotKnown(entry.address, config)}; run as root (BG2011)`]
      : []),
    ...spoilers.map((other) =>
      `${other.address} of its IOMMU group is bound to ${other.driver}, so that VFIO cannot own the group (BG2201)`
    ),
    ...(more > 0 ? [`so are ${more} more functions of the group`] : []),
  ];
}

/** What `plan` warns of, and does not refuse: the kernel may. */
function mayBeInTheWay(groups: IommuGroups, entry: SnapshotFunction): readonly string[] {
  return (groups.viability(entry)?.unknown ?? []).slice(0, MOST_SPOILERS).map((address) =>
    `perhaps in the way: ${address}, which may hold its IOMMU group, could not be read whole, so that whether VFIO can own the group is not known (BG2206)`
  );
}

/** Of an NVMe controller what matters most is its memory buffer. */
function controllerMemory(entry: SnapshotFunction): readonly string[] {
  if (!entry.class.startsWith("0108")) return [];
  const memory = entry.controllerMemory;
  if (memory?.state === "none") return ["the controller has no memory buffer (CMB)"];
  if (memory?.state === "disabled") return ["the controller's memory buffer (CMB) is not enabled"];
  if (memory?.state === "enabled") {
    const { bar, offset, size } = memory;
    const at = `0x${offset.toString(16)}, ${formatQuantity(size)}`;
    return [`the controller's memory buffer (CMB): BAR ${bar} at ${at}`];
  }
  const others = entry.bars.some(({ index, kind }) => index !== 0 && kind !== "io");
  return others ? [] : ["no BAR could hold a controller memory buffer (CMB)"];
}
