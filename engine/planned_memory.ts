/**
 * The memory buffer of a controller as a plan means it: where it is, and whether it has to be enabled.
 *
 * @module
 */
import { barAddress, BASE_ADDRESSES_BYTES, PCI_BASE_ADDRESSES } from "../host/bar_address.ts";
import type { MemoryPlace, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceRule, ExportRule } from "../policy/model.ts";

/** What the controller must say when it is open. */
export interface PlannedMemory extends MemoryPlace {
  /** What it said when it was asked. */
  readonly state: "disabled" | "enabled";
  /** The policy lets Bargate enable it (`enableCmb`), and its BAR holds all of it. */
  readonly mayEnable: boolean;
  /** Address on the bus of its first byte; absent: it is not known. */
  readonly base?: bigint;
}

/**
 * @param rule that grants
 * @param entry the function that its device is, with what it has answered
 * @param device as the policy names it
 * @returns undefined if the rule is about no memory buffer, or its place is not known
 */
export function plannedMemory(
  { region }: Pick<ExportRule, "region">,
  entry: SnapshotFunction,
  { enableCmb }: Pick<DeviceRule, "enableCmb">,
): PlannedMemory | undefined {
  const { controllerMemory: memory } = entry;
  if (region?.value !== "nvme.cmb" || memory === undefined || !("bar" in memory)) return undefined;
  const { state, bar, offset, size } = memory;
  const base = baseOf(entry, memory);
  return {
    state,
    bar,
    offset,
    size,
    mayEnable: enableCmb === true && bytesInBar(entry, memory) === size,
    ...(base === undefined ? {} : { base }),
  };
}

/**
 * @param entry a function
 * @param place of its buffer
 * @returns the buffer's first address on the bus; undefined if its BAR has none that can be seen
 */
export function baseOf(
  { config }: Pick<SnapshotFunction, "config">,
  { bar, offset }: MemoryPlace,
): bigint | undefined {
  const registers = config.slice(PCI_BASE_ADDRESSES, PCI_BASE_ADDRESSES + BASE_ADDRESSES_BYTES);
  const start = barAddress(registers, bar);
  return start === undefined ? undefined : start + offset;
}

/**
 * @param entry a function
 * @param place of its buffer, as its registers have it
 * @returns how much of the buffer its BAR holds; all of it if nothing of it is in a BAR that is there
 */
export function bytesInBar(
  { bars }: Pick<SnapshotFunction, "bars">,
  { bar, offset, size }: MemoryPlace,
): bigint {
  const end = bars.find(({ index }) => index === bar)?.size ?? 0n;
  return offset < end && end - offset < size ? end - offset : size;
}

/**
 * What several rules about one device come to: it is one buffer, and who may enable it may.
 *
 * @param memories of one device
 * @returns undefined if there are none
 */
export function togetherPlanned(memories: readonly PlannedMemory[]): PlannedMemory | undefined {
  const [first] = memories;
  if (first === undefined) return undefined;
  return { ...first, mayEnable: memories.some(({ mayEnable }) => mayEnable) };
}
