/**
 * Snapshot v1 as JSON text. The same snapshot gives the same bytes: keys in a fixed order, 64-bit
 * numbers and configuration space as hexadecimal strings.
 *
 * @module
 */
import type {
  ControllerMemory,
  HostSnapshot,
  NamedDevice,
  NodeAccess,
  PersistentMemory,
  SnapshotBar,
  SnapshotFunction,
  Unreadable,
} from "./snapshot.ts";

/** `apiVersion` of the file. */
export const SNAPSHOT_API_VERSION = "bargate/v1";
/** `kind` of the file. */
export const SNAPSHOT_KIND = "HostSnapshot";

/** Up to its value. No text has this in it: the quotation marks of a text are escaped. */
const CONFIG = '"config": "';

/** What two arrays of one element put around it. */
const [BEFORE = "", BEHIND = ""] = JSON.stringify([[0]], null, 2).split("0");

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
  const { functions } = snapshot;
  const head = JSON.stringify(
    { apiVersion: SNAPSHOT_API_VERSION, kind: SNAPSHOT_KIND, ...beforeFunctions(snapshot) },
    null,
    2,
  );
  yield `${head.slice(0, -2)},\n  "functions": [`;
  let separator = "\n    ";
  for (const entry of functions) {
    yield* functionText(entry, separator);
    separator = ",\n    ";
  }
  yield functions.length === 0 ? "]" : "\n  ]";
  yield tail(behindFunctions(snapshot));
}

/** By far the longest field is a piece of its own: it has nothing to indent, and need not be copied. */
function* functionText(entry: SnapshotFunction, before: string): Generator<string, void> {
  // Within two arrays it is indented as it must be.
  const text = JSON.stringify([[functionJson(entry, "")]], null, 2).slice(
    BEFORE.length,
    -BEHIND.length,
  );
  const at = text.indexOf(CONFIG) + CONFIG.length;
  yield before + text.slice(0, at);
  yield entry.config.toHex();
  yield text.slice(at);
}

/**
 * What a file says of the host as a whole: keys in order, those that are undefined are left out.
 *
 * @param snapshot of the host
 * @returns what `JSON.stringify` takes
 */
export function hostJson(snapshot: HostSnapshot): Record<string, unknown> {
  return { ...beforeFunctions(snapshot), ...behindFunctions(snapshot) };
}

function beforeFunctions(
  { description, kernel, cpu, pageSize, iommu }: HostSnapshot,
): Record<string, unknown> {
  return {
    description,
    kernel: { release: kernel.release, config: kernel.config && sorted(kernel.config) },
    cpu: cpu === undefined ? undefined : { vendor: cpu.vendor, family: cpu.family },
    pageSize,
    iommu,
  };
}

function behindFunctions(
  { rdma, drm, nvme, leftOut, unreadable }: HostSnapshot,
): Record<string, unknown> {
  return {
    rdma: rdma?.map(namedJson),
    drm: drm?.map(namedJson),
    nvme: nvme?.map(namedJson),
    leftOut: leftOut?.map(({ address, iommuGroup, iommuGroupIs }) => ({
      address,
      iommuGroup,
      iommuGroupIs,
    })),
    unreadable: unreadable?.map(unreadableJson),
  };
}

/** What follows the functions, and the end. */
function tail(fields: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(fields, null, 2);
  return text === "{}" ? "\n}\n" : `,${text.slice(1)}\n`;
}

function namedJson({ name, function: address }: NamedDevice): Record<string, unknown> {
  return { name, function: address };
}

function sorted<T>(values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1));
}

function accessJson({ uid, gid, mode }: NodeAccess): Record<string, unknown> {
  return { uid, gid, mode };
}

function unreadableJson({ field, right }: Unreadable): Record<string, unknown> {
  return { field, right };
}

/**
 * One function as the file has it: keys in order, those that are undefined are left out.
 *
 * @param entry of a snapshot
 * @param config what stands for its configuration space
 * @returns what `JSON.stringify` takes
 */
export function functionJson(
  entry: SnapshotFunction,
  config = entry.config.toHex(),
): Record<string, unknown> {
  return {
    address: entry.address,
    vendor: entry.vendor,
    device: entry.device,
    subsystem: entry.subsystem,
    class: entry.class,
    driver: entry.driver,
    driverOverride: entry.driverOverride,
    iommuGroup: entry.iommuGroup,
    numaNode: entry.numaNode,
    physfn: entry.physfn,
    sriov: entry.sriov && { total: entry.sriov.total, enabled: entry.sriov.enabled },
    parent: entry.parent,
    slot: entry.slot,
    cdev: entry.cdev,
    cdevAccess: entry.cdevAccess && accessJson(entry.cdevAccess),
    groupNode: entry.groupNode,
    groupAccess: entry.groupAccess && accessJson(entry.groupAccess),
    openBy: entry.openBy?.map(({ pid, command }) => ({ pid, command })),
    resetMethods: entry.resetMethods,
    powerState: entry.powerState,
    runtimeStatus: entry.runtimeStatus,
    config,
    bars: entry.bars.map(barJson),
    controllerMemory: entry.controllerMemory && memoryJson(entry.controllerMemory),
    persistentMemory: entry.persistentMemory && persistentJson(entry.persistentMemory),
    unreadable: entry.unreadable.map(unreadableJson),
  };
}

function barJson({ index, kind, start, size, prefetchable }: SnapshotBar): Record<string, unknown> {
  const flags = prefetchable ? ["prefetchable"] : [];
  return { index, kind, start: hex(start), size: hex(size), flags };
}

function memoryJson(memory: ControllerMemory): Record<string, unknown> {
  if (!("bar" in memory)) return { state: memory.state };
  const { state, bar, offset, size } = memory;
  return { state, bar, offset: hex(offset), size: hex(size) };
}

function persistentJson(memory: PersistentMemory): Record<string, unknown> {
  return memory.state === "none"
    ? { state: memory.state }
    : { state: memory.state, bar: memory.bar };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
