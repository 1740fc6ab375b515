/**
 * The bytes that a rule means on one real device: whole pages of one BAR, clear of what is protected
 * and of what is denied.
 *
 * @module
 */
import type { SnapshotBar, SnapshotFunction } from "../host/snapshot.ts";
import type { ExportRule, Placed, SliceRule } from "../policy/model.ts";
import type { Span } from "../policy/position.ts";
import { rangeText } from "../policy/range_text.ts";
import { controllerMemory } from "./controller_memory.ts";
import type { AddFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";
import type { Resolved } from "./plan_device.ts";
import type { Denials } from "./plan_denials.ts";
import { PROTECTED_NAMES } from "./protected_ranges.ts";

/** Class code of an NVMe I/O controller (NVM Express PCIe Transport Specification 1.0, 3.1.1). */
const NVME_CLASS = "010802";

/** Finds ranges, and tells what is wrong with them. */
export class RangeFinder {
  /**
   * @param page of the host, bytes
   * @param denials of the policy set on the host
   * @param add takes what is found
   */
  constructor(
    private readonly page: bigint,
    private readonly denials: Denials,
    private readonly add: AddFinding,
  ) {}

  /**
   * @param rule that grants
   * @param device one function that the rule's device is
   * @returns in buffer order; undefined if something is wrong with them
   */
  ranges(rule: ExportRule, device: Resolved): readonly DmaRange[] | undefined {
    const bar = this.#bar(rule.bar, device.entry);
    if (bar === undefined) return undefined;
    const slices = this.#slices(rule, device);
    if (slices === undefined) return undefined;
    const ranges = slices.map((slice) => this.#range(slice, rule, bar, device));
    return ranges.every((range) => range !== undefined) ? ranges : undefined;
  }

  /** A region with a name, by what is known of the very device. */
  #slices(rule: ExportRule, { entry, named }: Resolved): readonly SliceRule[] | undefined {
    if (rule.region === undefined) return rule.slices;
    const { value, at } = rule.region;
    if (entry.class !== NVME_CLASS) {
      const why = `${entry.address} is of class ${entry.class} and so has no ${value}`;
      this.add("BG2024", at, why);
      return undefined;
    }
    if (value === "nvme.doorbells") return this.#doorbells(rule, entry, at);
    const found = controllerMemory(entry, rule.bar.value, named.enableCmb ?? false);
    if (found.is === "known") return [{ offset: found.offset, length: found.size, at }];
    this.add(found.code, at, found.why, [], entry.address);
    return undefined;
  }

  #doorbells(
    { slices }: ExportRule,
    { address }: SnapshotFunction,
    at: Span,
  ): readonly SliceRule[] | undefined {
    if (slices.every(({ offset }) => offset % this.page === 0n)) return slices;
    const why =
      `the doorbells of ${address} start at 0x1000, and the page of ${this.page} bytes that holds them holds the controller's registers too`;
    this.add("BG2009", at, why);
    return undefined;
  }

  #bar(bar: Placed<number>, entry: SnapshotFunction): SnapshotBar | undefined {
    const found = entry.bars.find(({ index }) => index === bar.value);
    if (found === undefined) {
      const below = entry.bars.find(({ index }) => index === bar.value - 1);
      const why = below?.kind === "memory64"
        ? `it is the upper half of 64-bit BAR ${below.index}`
        : "it is empty";
      this.add(
        "BG2005",
        bar.at,
        `BAR ${bar.value} of ${entry.address} is not implemented: ${why}`,
      );
      return undefined;
    }
    if (found.kind === "io") {
      this.add("BG2006", bar.at, `BAR ${bar.value} of ${entry.address} is I/O space`);
      return undefined;
    }
    if (found.size < this.page) {
      this.add(
        "BG2007",
        bar.at,
        `BAR ${bar.value} of ${entry.address} has ${found.size} bytes, less than a page (${this.page})`,
      );
      return undefined;
    }
    return found;
  }

  #range(
    slice: SliceRule,
    rule: ExportRule,
    bar: SnapshotBar,
    device: Resolved,
  ): DmaRange | undefined {
    const length = slice.length === "rest" ? bar.size - slice.offset : slice.length;
    if (length <= 0n || slice.offset + length > bar.size) {
      this.add(
        "BG2008",
        slice.at,
        `the slice ends at ${
          hex(slice.offset + (length > 0n ? length : 0n))
        }, past BAR ${bar.index} of ${device.entry.address}, which has ${hex(bar.size)} bytes`,
      );
      return undefined;
    }
    if (slice.offset % this.page !== 0n || length % this.page !== 0n) {
      this.add(
        "BG2009",
        slice.at,
        `the slice (offset ${hex(slice.offset)}, length ${
          hex(length)
        }) is no whole number of this host's pages of ${this.page} bytes`,
      );
      return undefined;
    }
    const range = { offset: slice.offset, length };
    const free = this.#checkGuarded(range, slice.at, rule, device.target);
    const allowed = this.#checkDenied(range, slice.at, device.entry.address, bar.index);
    return free && allowed ? range : undefined;
  }

  #checkGuarded(
    range: DmaRange,
    at: Span,
    rule: ExportRule,
    { address, protectedRanges: guarded }: Resolved["target"],
  ): boolean {
    const hits = guarded.filter((entry) =>
      entry.bar === rule.bar.value && range.offset < entry.offset + entry.length &&
      entry.offset < range.offset + range.length &&
      !rule.allowProtected.some((allowed) => allowed.range === entry.what)
    );
    if (hits.length === 0) return true;
    const what = hits.map(({ what, offset, length }) =>
      `the ${PROTECTED_NAMES[what]} at ${rangeText({ start: offset, end: offset + length })}`
    );
    this.add(
      "BG2010",
      at,
      `the slice touches ${what.join(" and ")} of BAR ${rule.bar.value} of ${address}`,
    );
    return false;
  }

  #checkDenied(range: DmaRange, at: Span, address: string, bar: number): boolean {
    const hit = this.denials.on(address, bar)
      ?.overlapping(range.offset, range.offset + range.length);
    if (hit === undefined) return true;
    const doubt = hit.doubt === undefined
      ? ""
      : ` (which may be the device that is meant: ${hit.doubt})`;
    this.add("BG2013", at, `the slice is denied on ${address}: ${hit.rule.reason}${doubt}`, [
      { ...hit.rule.at, message: "denied here" },
    ]);
    return false;
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
