/**
 * What `init` makes of one function: what is denied, what could be exported, and what stands in the
 * way. Where it is not known what a BAR is, it is taken for registers: more denied is safer than less.
 *
 * @module
 */
import {
  type ProtectedRange,
  protectedRanges,
  whyNotKnown,
} from "../../engine/protected_ranges.ts";
import { IommuGroups } from "../../host/group_viability.ts";
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";
import { formatQuantity } from "../../policy/quantity.ts";

/** Bytes of a BAR; absent: all of them. */
export interface Range {
  readonly offset: bigint;
  readonly length: bigint;
}

/** What must never leave. */
export interface FirstDeny {
  readonly bar: number;
  readonly range?: Range;
  readonly reason: string;
}

/** A BAR of which a page could be exported. */
export interface FirstExample {
  readonly bar: SnapshotBar;
  /** Where the page starts. */
  readonly offset: bigint;
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
/** The BAR of an NVMe controller's registers. */
const NVME_REGISTERS = 0;

/**
 * @param host on which the function is
 * @param entry the function
 */
export function firstDevice(host: HostSnapshot, entry: SnapshotFunction): FirstDevice {
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
    inTheWay: inTheWay(host, entry),
    notes: controllerMemory(entry),
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
    const why = this.#registers(bar);
    if (bar.kind === "io") this.remarks.set(bar.index, "I/O ports cannot be exported");
    else if (why !== undefined) this.#deny(bar.index, why);
    else this.#memory(bar);
  }

  #deny(bar: number, reason: string): void {
    this.denies.push({ bar, reason });
  }

  /** @returns why the whole of it is denied; undefined: it is taken for memory */
  #registers(bar: SnapshotBar): string | undefined {
    const { class: code, bars } = this.entry;
    if (code.startsWith("0108") && bar.index === NVME_REGISTERS) {
      return "controller registers and doorbells";
    }
    if (this.guarded === undefined) return "where its MSI-X table is is not known";
    if (!bar.prefetchable) return "registers, for reads of it can have effects (not prefetchable)";
    if (code.startsWith("02")) return "registers and doorbells of a network controller";
    const larger = bars.some((other) => other.prefetchable && other.size > bar.size);
    const isGuarded = this.guarded.some((range) => range.bar === bar.index);
    return larger && isGuarded ? "registers, for the MSI-X table is among them" : undefined;
  }

  #memory(bar: SnapshotBar): void {
    const guarded = (this.guarded ?? []).filter((range) => range.bar === bar.index);
    for (const { offset, length, what } of guarded) {
      const reason = what === "msix-table" ? "MSI-X table" : "MSI-X pending bit array";
      this.denies.push({ bar: bar.index, range: { offset, length }, reason });
    }
    if (bar.size < this.page) return;
    const offset = this.#freePage(bar, guarded);
    if (offset === undefined) this.remarks.set(bar.index, "every page of it is protected");
    else this.examples.push({ bar, offset });
  }

  /** The first page that is free: at the start, or behind something protected. */
  #freePage({ size }: SnapshotBar, guarded: readonly ProtectedRange[]): bigint | undefined {
    const starts = [0n, ...guarded.map(({ offset, length }) => offset + length)];
    return starts.sort((a, b) => a < b ? -1 : 1).find((start) =>
      start + this.page <= size &&
      !guarded.some(({ offset, length }) => start < offset + length && offset < start + this.page)
    );
  }
}

/** The same that `plan` would find, in words for a comment. */
function inTheWay(host: HostSnapshot, entry: SnapshotFunction): readonly string[] {
  const { driver, cdev, groupNode, config } = entry;
  const spoilers = new IommuGroups(host).viability(entry)?.spoilers ?? [];
  return [
    ...(driver === VFIO_PCI ? [] : [
      `it is bound to ${driver ?? "no driver"}, and only vfio-pci exports (BG2003)`,
    ]),
    ...(driver === VFIO_PCI && cdev === undefined && groupNode === undefined
      ? ["there is no VFIO node to open it by (BG2004)"]
      : []),
    ...(protectedRanges(config, host.pageSize) === undefined
      ? [`${whyNotKnown(entry.address, config)}; run as root (BG2011)`]
      : []),
    ...spoilers.slice(0, 4).map((other) =>
      `${other.address} of its IOMMU group is bound to ${other.driver}, so that VFIO cannot own the group (BG2201)`
    ),
    ...(spoilers.length > 4 ? [`so are ${spoilers.length - 4} more functions of the group`] : []),
  ];
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
  const others = entry.bars.some(({ index, kind }) => index !== NVME_REGISTERS && kind !== "io");
  return others ? [] : ["no BAR could hold a controller memory buffer (CMB)"];
}
