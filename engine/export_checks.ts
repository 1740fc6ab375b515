/**
 * The kernel's checks of an export, run again on a snapshot: in the kernel's order, so that the one
 * that decides can be named. Order and conditions are those of `vfio_device_feature`
 * (drivers/vfio/vfio_main.c) and `vfio_pci_core_feature_dma_buf` (drivers/vfio/pci/vfio_pci_dmabuf.c,
 * vfio_pci_core_fill_phys_vec) of Linux 7.3.
 *
 * @module
 */
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../host/config_space.ts";
import { IommuGroups, isViable } from "../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { cannotResume } from "./device_sleep.ts";
import type { DmaRange } from "./kernel.ts";
import { idOf } from "./match_fields.ts";

/** One check. */
export interface KernelCheck {
  /** What must hold. */
  readonly what: string;
  /** What the kernel answers where it does not; absent: the call succeeds all the same. */
  readonly errno?: string;
  /** `unknown`: a snapshot cannot say. */
  readonly holds: true | false | "unknown";
  /** The fact that decides, or why there is none. */
  readonly why: string;
}

/** What is to be exported. */
export interface AskedExport {
  readonly bar: number;
  readonly ranges: readonly DmaRange[];
}

/** Drivers whose devices can be exported from; variants keep generic operations, or leave them out. */
const EXPORTERS = ["vfio-pci", "nvgrace_gpu_vfio_pci", "nvgrace-gpu-vfio-pci"];
/** VFIO drivers without an operation for features at all. */
const WITHOUT_FEATURES = ["qat_vfio_pci", "vfio-platform", "vfio-cdx", "vfio-fsl-mc"];
/** Sums of more than this do not fit the kernel's sizes. */
const MOST_BYTES = 1n << 63n;
const ADDRESS_END = 1n << 64n;
const BARS = 6;

/**
 * Runs the checks.
 *
 * @param host what is there
 * @param entry the function that is exported from
 * @param asked what is exported
 * @returns all checks in the kernel's order; the first that does not hold decides
 *
 * @example
 * ```ts
 * import { decidingCheck, exportChecks } from "./export_checks.ts";
 *
 * const entry = {
 *   address: "0000:01:00.0",
 *   vendor: "1b36",
 *   device: "0010",
 *   class: "010802",
 *   driver: "vfio-pci",
 *   parent: "pci0000:00",
 *   resetMethods: [],
 *   config: new Uint8Array(256),
 *   bars: [],
 *   unreadable: [],
 * };
 * const host = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], functions: [entry] };
 * const asked = { bar: 2, ranges: [{ offset: 0n, length: 4096n }] };
 * if (decidingCheck(exportChecks(host, entry, asked))?.errno !== "ENODEV") throw new Error("wrong");
 * ```
 */
export function exportChecks(
  host: HostSnapshot,
  entry: SnapshotFunction,
  asked: AskedExport,
): readonly KernelCheck[] {
  return [
    hasNode(entry),
    groupIsFree(host, entry),
    unknown("the device fd is bound to an iommufd or a group", "EINVAL"),
    canBeWoken(entry),
    kernelHasFeature(host, entry),
    driverExports(entry),
    check(
      "there is at least one range",
      "EINVAL",
      asked.ranges.length > 0,
      `${asked.ranges.length} ranges`,
    ),
    barIsThere(entry, asked.bar),
    unknown(`no other driver has claimed BAR ${asked.bar}`, "ENODEV"),
    ...eachRange(asked, BigInt(host.pageSize)),
    ...againstBar(entry, asked),
    unknown("the device is not going away", "ENODEV"),
    unknown("a descriptor and memory are free", "EMFILE"),
    decodes(entry),
  ];
}

/**
 * The check that decides.
 *
 * @param checks from {@linkcode exportChecks}
 * @returns the first that does not hold and has an errno; absent: the call succeeds as far as a
 * snapshot can tell
 */
export function decidingCheck(checks: readonly KernelCheck[]): KernelCheck | undefined {
  return checks.find(({ holds, errno }) => holds === false && errno !== undefined);
}

function check(what: string, errno: string, holds: boolean, why: string): KernelCheck {
  return { what, errno, holds, why };
}

function unknown(what: string, errno: string): KernelCheck {
  return { what, errno, holds: "unknown", why: "only the running host can tell" };
}

/** By a runtime status of another kind it is not known: what has no power answers when it is tried. */
function canBeWoken(entry: SnapshotFunction): KernelCheck {
  const what = "the device can be woken";
  return cannotResume(entry)
    ? check(what, "EIO", false, "its power/runtime_status is error: the kernel has given up on it")
    : unknown(what, "EIO");
}

function kernelHasFeature({ kernel }: HostSnapshot, { driver }: SnapshotFunction): KernelCheck {
  const what = "the kernel and the driver know VFIO_DEVICE_FEATURE_DMA_BUF";
  if (driver !== undefined && WITHOUT_FEATURES.includes(driver)) {
    return check(what, "ENOTTY", false, `${driver} answers no feature`);
  }
  const option = kernel.config?.["CONFIG_VFIO_PCI_DMABUF"];
  if (option !== undefined) {
    return check(what, "ENOTTY", option !== "n", `CONFIG_VFIO_PCI_DMABUF is ${option}`);
  }
  const { release } = kernel;
  return {
    what,
    errno: "ENOTTY",
    holds: "unknown",
    why: `Linux ${release}, its options not known`,
  };
}

function hasNode({ address, driver }: SnapshotFunction): KernelCheck {
  const what = "a VFIO driver is bound, so that there is a node to open";
  const why = `${address} is bound to ${driver ?? "no driver"}`;
  return check(what, "ENOENT", driver !== undefined && /vfio/.test(driver), why);
}

/** Holders that are named; a group can have a hundred. */
const MOST_HOLDERS = 4;

/** What `plan` finds (BG2201, BG2206), at the place where the kernel asks it: before the bind. */
function groupIsFree(host: HostSnapshot, entry: SnapshotFunction): KernelCheck {
  const what = "VFIO can own the function's IOMMU group";
  const viability = new IommuGroups(host).viability(entry);
  if (viability === undefined) return unknown(what, "EPERM");
  const { group = "of it", unknown: unread } = viability;
  const viable = isViable(viability);
  if (viable === false) {
    const held = viability.spoilers(MOST_HOLDERS).map(({ address, driver }) =>
      `${address} (${driver})`
    );
    const more = viability.spoilerCount - held.length;
    const others = more > 0 ? ` and ${more} more` : "";
    const why = `other drivers hold ${held.join(", ")}${others} in group ${group}`;
    return check(what, "EPERM", false, why);
  }
  if (viable === true) return check(what, "EPERM", true, `nothing else holds group ${group}`);
  const which = unread.slice(0, MOST_HOLDERS).join(", ");
  return { what, errno: "EPERM", holds: "unknown", why: `${which} could not be read whole` };
}

function driverExports({ driver = "no driver" }: SnapshotFunction): KernelCheck {
  const can = EXPORTERS.includes(driver);
  return check("the driver can export BARs", "EOPNOTSUPP", can, `it is ${driver}`);
}

function barIsThere(entry: SnapshotFunction, bar: number): KernelCheck {
  const what = `BAR ${bar} is implemented`;
  const found = entry.bars.find(({ index }) => index === bar);
  const below = entry.bars.find(({ index }) => index === bar - 1);
  if (bar < BARS && found !== undefined) return check(what, "ENODEV", true, `${found.size} bytes`);
  const why = bar >= BARS
    ? "regions from 6 on are no BARs"
    : below?.kind === "memory64"
    ? `it is the upper half of BAR ${below.index}`
    : `${idOf(entry)} at ${entry.address} has none`;
  return check(what, "ENODEV", false, why);
}

function eachRange({ ranges }: AskedExport, page: bigint): readonly KernelCheck[] {
  const each = ranges.map((range) => {
    const { offset, length } = range;
    const why = length === 0n
      ? "it has no bytes"
      : offset % page !== 0n
      ? `its offset is no multiple of ${page}`
      : length % page !== 0n
      ? `its length is no multiple of ${page}`
      : `pages have ${page} bytes`;
    const whole = length > 0n && offset % page === 0n && length % page === 0n;
    return check(`${rangeText(range)} is whole pages`, "EINVAL", whole, why);
  });
  const sum = ranges.reduce((total, { length }) => total + length, 0n);
  return [
    ...each,
    check("all ranges together are less than 2^63 bytes", "EINVAL", sum < MOST_BYTES, hex(sum)),
  ];
}

function againstBar(entry: SnapshotFunction, { bar, ranges }: AskedExport): readonly KernelCheck[] {
  const found = entry.bars.find(({ index }) => index === bar);
  const size = found?.size ?? 0n;
  const start = found?.start ?? 0n;
  const kind = found?.kind === "io" ? "it is I/O space" : "it is memory";
  return [
    check(`BAR ${bar} is memory`, "EINVAL", found !== undefined && found.kind !== "io", kind),
    ...ranges.flatMap((range) => {
      const end = range.offset + range.length;
      return [
        check(
          `${rangeText(range)} does not run past the address space`,
          "EOVERFLOW",
          start + end < ADDRESS_END,
          `BAR ${bar} starts at ${hex(start)}`,
        ),
        check(
          `${rangeText(range)} is inside BAR ${bar}`,
          "EINVAL",
          end <= size,
          `the BAR has ${hex(size)} bytes`,
        ),
      ];
    }),
  ];
}

/** Of a virtual function the memory bit says nothing: it always decodes. */
function decodes({ config, physfn, powerState }: SnapshotFunction): KernelCheck {
  const what = "the device decodes memory, or the buffer is born revoked (ENODEV at map)";
  if (powerState === "D3hot" || powerState === "D3cold") {
    return { what, holds: false, why: `it was in ${powerState}` };
  }
  const command = new DataView(config.buffer, config.byteOffset).getUint16(PCI_COMMAND, true);
  const on = physfn !== undefined || (command & PCI_COMMAND_MEMORY) !== 0;
  // An open switches it on; what a snapshot saw may be a device that nobody had open.
  return {
    what,
    holds: on ? true : "unknown",
    why: on ? "it did" : "it did not when the snapshot was taken; opening it switches that on",
  };
}

function rangeText({ offset, length }: DmaRange): string {
  return `[${hex(offset)}, +${hex(length)})`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
