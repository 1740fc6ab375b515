/**
 * What slices of NVMe controllers hold, by what is known of the very controller: its registers and
 * doorbells, and memory that is no memory buffer. A region (`nvme.cmb`, `nvme.doorbells`) says so
 * itself; slices are only numbers.
 *
 * @module
 */
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceRule, ExportRule, SliceRule } from "../policy/model.ts";
import { DOORBELLS, DOORBELLS_BAR, isControl, saysController } from "../policy/nvme_doorbells.ts";
import { rangeText } from "../policy/range_text.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";
import type { DeviceTarget } from "./device_target.ts";

/** Class and subclass of a controller of non-volatile memory. */
const CONTROLLER_CLASS = "0108";

/** What matters of a planned grant. */
export interface ControllerGrant {
  readonly export: string;
  readonly rule: ExportRule;
  readonly device: Pick<DeviceTarget, "address" | "protectedRanges" | "controllerMemory">;
  readonly bar: number;
  readonly ranges: readonly DmaRange[];
}

/** A range of a grant, and what the rule says of it. */
interface Placed {
  readonly range: DmaRange;
  readonly slice: SliceRule;
}

/** Where to look. */
export interface ControllerFacts {
  /** The host's function at an address. */
  at(address: string): SnapshotFunction | undefined;
  /** The device of a rule, as its policy names it. */
  deviceOf(rule: ExportRule): DeviceRule | undefined;
}

/**
 * Looks what the slices of controllers hold.
 *
 * @param grants that would be made
 * @param facts of the host and the policies
 * @returns at most one warning of each kind for a rule on one device
 */
export function nvmeFindings(
  grants: readonly ControllerGrant[],
  facts: ControllerFacts,
): readonly Finding[] {
  // Of several importers of a rule each has a grant, of the same bytes.
  const rules = new Map(grants.map((grant) => [grant.export, grant]));
  return [...rules.values()].flatMap((grant) => {
    const entry = facts.at(grant.device.address);
    if (entry === undefined || grant.rule.region !== undefined) return [];
    if (!entry.class.startsWith(CONTROLLER_CLASS)) return [];
    return grant.bar === DOORBELLS_BAR ? ofControl(grant, entry, facts) : ofMemory(grant, entry);
  });
}

/** BAR 0: registers and doorbells, but for what the controller says to be its memory buffer. */
function ofControl(
  grant: ControllerGrant,
  entry: SnapshotFunction,
  { deviceOf }: ControllerFacts,
): readonly Finding[] {
  // Of what is protected the rule says by name that it leaves.
  const others = [...bufferIn(entry, grant.bar), ...protectedIn(grant)];
  const isTold = saysController(deviceOf(grant.rule)?.match.class);
  const hit = placed(grant).filter(({ range, slice }) =>
    !isCovered(range, others) && !(isTold && isControl(slice))
  );
  const [first] = hit;
  if (first === undefined) return [];
  const { offset, length } = first.range;
  const parts = [
    ...(offset < DOORBELLS.offset
      ? [
        "the controller's registers (below 0x1000), by which whoever writes them stops it and gives its queues other memory",
      ]
      : []),
    ...(offset + length > DOORBELLS.offset
      ? ["doorbells (from 0x1000 on, the admin queue's first; as many as it has queues)"]
      : []),
  ];
  return [
    hostFinding(
      "BG2055",
      first.slice.at,
      `${sliceText(grant, hit)} holds ${parts.join(", and ")}`,
    ),
  ];
}

/** Another BAR: what the controller has answered says what is in it. */
function ofMemory(grant: ControllerGrant, entry: SnapshotFunction): readonly Finding[] {
  const { persistentMemory: region } = entry;
  if (region !== undefined && region.state !== "none" && region.bar === grant.bar) {
    const why =
      `is of its persistent memory region, which is ${region.state}: what is written there outlasts a power cycle`;
    return [told(grant, placed(grant), why)];
  }
  const { controllerMemory: memory } = entry;
  if (memory === undefined) return [];
  if (memory.state === "none") {
    return [
      told(grant, placed(grant), "is no memory buffer: the controller says that it has none"),
    ];
  }
  if (!("bar" in memory)) {
    const why =
      "is no memory buffer yet: the controller's is not enabled, and it does not say where it would be";
    return [told(grant, placed(grant), why)];
  }
  const where = `${textOf({ offset: memory.offset, length: memory.size })} of BAR ${memory.bar}`;
  const outside = placed(grant).filter(({ range }) =>
    memory.bar !== grant.bar ||
    !isInside(range, { offset: memory.offset, length: memory.size })
  );
  if (outside.length > 0) {
    return [told(grant, outside, `is not in the memory buffer, which is ${where}`)];
  }
  const enabled = memory.state === "enabled" || grant.device.controllerMemory?.mayEnable === true;
  if (enabled) return [];
  return [told(grant, placed(grant), `is in the memory buffer (${where}), which is not enabled`)];
}

function told(grant: ControllerGrant, about: readonly Placed[], why: string): Finding {
  return hostFinding(
    "BG2056",
    about[0]?.slice.at ?? grant.rule.at,
    `${sliceText(grant, about)} ${why}`,
  );
}

/** A rule has a range for each of its slices. */
function placed({ ranges, rule }: ControllerGrant): readonly Placed[] {
  return ranges.flatMap((range, index) => {
    const slice = rule.slices[index];
    return slice === undefined ? [] : [{ range, slice }];
  });
}

function bufferIn(
  { controllerMemory }: SnapshotFunction,
  wanted: number,
): readonly DmaRange[] {
  if (controllerMemory === undefined || !("bar" in controllerMemory)) return [];
  const { bar, offset, size } = controllerMemory;
  return bar === wanted ? [{ offset, length: size }] : [];
}

function protectedIn({ bar, device }: ControllerGrant): readonly DmaRange[] {
  return device.protectedRanges.filter((range) => range.bar === bar);
}

function textOf({ offset, length }: DmaRange): string {
  return rangeText({ start: offset, end: offset + length });
}

/** Whether every byte is in one of some ranges, which may lie side by side. */
function isCovered({ offset, length }: DmaRange, ranges: readonly DmaRange[]): boolean {
  let reached = offset;
  for (const each of ranges.toSorted((a, b) => (a.offset < b.offset ? -1 : 1))) {
    const end = each.offset + each.length;
    if (each.offset <= reached && reached < end) reached = end;
  }
  return reached >= offset + length;
}

function isInside(range: DmaRange, { offset, length }: DmaRange): boolean {
  return range.offset >= offset && range.offset + range.length <= offset + length;
}

/** One is told of a rule that may have thousands. */
function sliceText(
  { bar, device }: ControllerGrant,
  [first, ...others]: readonly Placed[],
): string {
  const range = first === undefined ? "" : `${textOf(first.range)} `;
  const more = others.length === 0 ? "" : ` (and ${others.length} more of the rule)`;
  return `the slice ${range}of BAR ${bar} of the NVMe controller ${device.address}${more}`;
}
