/** What `lspci` says of the guest's functions, held against the inventory. @module */
import assert from "node:assert/strict";
import { hasFunctionReset, resizableBars } from "../../host/capabilities.ts";
import { configHeader, findCapability, msixRanges } from "../../host/config_space.ts";
import { serialOf } from "../../host/serial.ts";
import type { SnapshotBar, SnapshotFunction } from "../../host/snapshot.ts";
import { accessControl } from "../../host/topology/acs.ts";

/** What both say of one function. */
interface Said {
  readonly id: string;
  /** Four digits: lspci leaves the interface out where it is 0. */
  readonly class: string;
  readonly subsystem: string | undefined;
  readonly driver: string | undefined;
  readonly group: number | undefined;
  readonly bars: readonly string[];
  readonly msix: string | undefined;
  /** `SrcValid+ …`, the control register of access control services. */
  readonly acs: string | undefined;
  readonly functionReset: boolean;
  readonly serial: string | undefined;
  readonly resizable: readonly number[];
}

/** Bits of the ACS registers, in the order in which lspci prints them. */
const ACS_BITS = [
  ["SrcValid", 0x01],
  ["TransBlk", 0x02],
  ["ReqRedir", 0x04],
  ["CmpltRedir", 0x08],
  ["UpstreamFwd", 0x10],
  ["EgressCtrl", 0x20],
  ["DirectTrans", 0x40],
] as const;

const UNITS = { "": 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n } as const;

/**
 * Reads `lspci -D -nn -vvv`.
 *
 * @param text of all functions
 * @returns by address
 */
export function lspciSays(text: string): ReadonlyMap<string, Said> {
  const blocks = text.split(/\n\n+/).filter((block) => block.trim() !== "");
  return new Map(blocks.map((block) => [block.slice(0, block.indexOf(" ")), blockSays(block)]));
}

function blockSays(block: string): Said {
  const head = block.split("\n")[0] ?? "";
  const [, id = ""] = /.*\[([0-9a-f]{4}:[0-9a-f]{4})\]/.exec(head) ?? [];
  const [, classCode = ""] = /\[([0-9a-f]{4})\]: /.exec(head) ?? [];
  const part = (pattern: RegExp) => pattern.exec(block)?.[1];
  const group = part(/^\tIOMMU group: (\d+)$/m);
  return {
    id,
    class: classCode,
    subsystem: part(/^\tSubsystem: .*\[([0-9a-f]{4}:[0-9a-f]{4})\]$/m),
    driver: part(/^\tKernel driver in use: (\S+)$/m),
    group: group === undefined ? undefined : Number(group),
    bars: [...block.matchAll(REGION)].map(regionSays),
    msix: msixSays(block),
    acs: part(/^\t\tACSCtl:\t(.*)$/m)?.trim(),
    functionReset: /^\t\t\tExtTag.*\bFLReset\+/m.test(block),
    serial: part(/Device Serial Number ([0-9a-f-]{23})$/m),
    resizable: [...block.matchAll(/^\t\tBAR (\d): current size:/gm)].map(([, bar]) => Number(bar)),
  };
}

/** `Region 2: Memory at 800000000 (64-bit, prefetchable) [size=16M]` */
const REGION =
  /^\tRegion (\d): (Memory|I\/O ports) at (\S+)(?: \(([^)]*)\))?(?: \[\w+\])* \[size=(\d+)(\w?)\]$/gm;

function regionSays([, index, kind, start, how = "", size = "0", unit = ""]: RegExpExecArray) {
  const bytes = BigInt(size) * UNITS[unit as keyof typeof UNITS];
  const at = start?.startsWith("<") ? 0n : BigInt(`0x${start}`);
  const bits = kind !== "Memory" ? "io" : how.startsWith("64-bit") ? "memory64" : "memory32";
  return barLine(Number(index), bits, at, bytes, / prefetchable$/.test(how));
}

function barLine(index: number, kind: string, start: bigint, size: bigint, prefetch: boolean) {
  return `${index} ${kind} 0x${start.toString(16)} ${size} ${prefetch ? "prefetchable" : "-"}`;
}

function msixSays(block: string): string | undefined {
  const found =
    /MSI-X: Enable[+-] Count=(\d+).*\n\t\tVector table: BAR=(\d) offset=(\w+)\n\t\tPBA: BAR=(\d) offset=(\w+)/
      .exec(block);
  if (found === null) return undefined;
  const [, count, table, tableAt, pending, pendingAt] = found;
  return msixLine(Number(count), table, `0x${tableAt}`, pending, `0x${pendingAt}`);
}

function msixLine(
  count: number,
  table: unknown,
  tableAt: string | bigint,
  pending: unknown,
  pendingAt: string | bigint,
): string {
  return `${count} ${table} ${BigInt(tableAt)} ${pending} ${BigInt(pendingAt)}`;
}

/**
 * The same from the inventory.
 *
 * @param entry a function of the guest's snapshot
 */
export function inventorySays(entry: SnapshotFunction): Said {
  const { config, bars } = entry;
  const serial = serialOf(entry);
  const control = accessControl(config);
  const msix = msixRanges(config);
  return {
    id: `${entry.vendor}:${entry.device}`,
    class: entry.class.slice(0, 4),
    subsystem: subsystemOf(entry),
    driver: entry.driver,
    group: entry.iommuGroup,
    bars: bars.map(({ index, kind, start, size, prefetchable }: SnapshotBar) =>
      barLine(index, kind, start, size, prefetchable)
    ),
    msix: msix === undefined ? undefined : msixLine(
      Number(msix.table.length / 16n),
      msix.table.bar,
      msix.table.offset,
      msix.pendingBits.bar,
      msix.pendingBits.offset,
    ),
    acs: typeof control === "string"
      ? undefined
      : ACS_BITS.map(([name, bit]) => `${name}${(control & bit) === 0 ? "-" : "+"}`).join(" "),
    functionReset: hasFunctionReset(config),
    serial: serial.is === "known" ? serial.serial : undefined,
    resizable: resizableBars(config),
  };
}

/** A bridge has a capability of its own for it: PCI_CAP_ID_SSVID. */
function subsystemOf({ config, subsystem }: SnapshotFunction): string | undefined {
  assert.equal(configHeader(config)?.subsystem, subsystem);
  if (subsystem !== undefined) return subsystem === "0000:0000" ? undefined : subsystem;
  const at = findCapability(config, 0x0d);
  if (at === undefined) return undefined;
  const view = new DataView(config.buffer, config.byteOffset);
  const digits = (offset: number) => view.getUint16(offset, true).toString(16).padStart(4, "0");
  return `${digits(at + 4)}:${digits(at + 6)}`;
}
