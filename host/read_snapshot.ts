/**
 * Takes a snapshot of this host through the `Files` port.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import { CONFIG_HEADER_BYTES, configHeader } from "./config_space.ts";
import { type Files, FilesError } from "./files.ts";
import { parseResource } from "./resource.ts";
import type { HostSnapshot, SnapshotBar, SnapshotFunction, Unreadable } from "./snapshot.ts";

const DEVICES = "/sys/bus/pci/devices";
const SLOTS = "/sys/bus/pci/slots";
/** PCI Express extended configuration space, bytes. */
const CONFIG_BYTES = 4096;

/** What the kernel tells of itself, from the `Kernel` port. */
export interface KernelFacts {
  readonly release: string;
  /** Bytes. */
  readonly pageSize: number;
}

/** A function that vanished, or whose folder makes no sense, while the snapshot was taken. */
export interface SkippedFunction {
  readonly address: string;
  readonly why: string;
}

/**
 * Reads every PCI function below `/sys`.
 *
 * @param files where to read
 * @param kernel release and page size
 * @param wanted only functions for which this says true are read in full; it gets vendor and
 *   device so that a verb that needs one device does not read 4,000. The bridges above them, their
 *   physical functions, and what is reset together with them are read as well
 * @returns the snapshot, and what had to be left out
 * @throws {FilesError} if `/sys/bus/pci/devices` cannot be listed
 */
export function readSnapshot(
  files: Files,
  kernel: KernelFacts,
  wanted: (address: string) => boolean = () => true,
): { readonly snapshot: HostSnapshot; readonly skipped: readonly SkippedFunction[] } {
  const functions = new Map<string, SnapshotFunction>();
  const skipped: SkippedFunction[] = [];
  const slots = readSlots(files);
  const tried = new Set<string>();
  const read = (address: string): void => {
    if (tried.has(address)) return;
    tried.add(address);
    try {
      const entry = readFunction(files, address);
      const slot = slots.get(address.replace(/\.[0-7]$/, ""));
      functions.set(address, slot === undefined ? entry : { ...entry, slot });
    } catch (error) {
      if (!(error instanceof FilesError) && !(error instanceof SyntaxError)) throw error;
      skipped.push({ address, why: error.message });
    }
  };
  const listed = files.list(DEVICES);
  for (const address of listed) {
    if (!isPciAddress(address)) skipped.push({ address, why: "the name is no PCI address" });
    else if (wanted(address)) read(address);
  }
  if (tried.size + skipped.length < listed.length) {
    for (const entry of [...functions.values()]) resetTogether(files, entry).forEach(read);
  }
  // Resets of what is above hit what is below. What is added here is walked through in its turn.
  for (const { parent, physfn } of functions.values()) {
    if (isPciAddress(parent)) read(parent);
    if (physfn !== undefined) read(physfn);
  }
  return {
    snapshot: {
      kernel: { release: kernel.release },
      pageSize: kernel.pageSize,
      iommu: listOr(files, "/sys/class/iommu"),
      functions: [...functions.values()].sort((a, b) => a.address < b.address ? -1 : 1),
    },
    skipped,
  };
}

/**
 * Reads one PCI function.
 *
 * @param files where to read
 * @param address of the function
 * @returns its part of a snapshot
 * @throws {FilesError} if the function, or one of the files that every function has, is not there
 * @throws {SyntaxError} if one of these files holds what the kernel never writes
 */
export function readFunction(files: Files, address: string): SnapshotFunction {
  const folder = `${DEVICES}/${address}`;
  const unreadable: Unreadable[] = [];
  const config = readConfig(files, folder, unreadable);
  const header = configHeader(config);
  const driver = linkName(files, `${folder}/driver`);
  const group = linkName(files, `${folder}/iommu_group`);
  const physfn = linkName(files, `${folder}/physfn`);
  const numaNode = readNumaNode(files, folder, unreadable);
  const power = textUnlessForbidden(files, folder, "power_state", unreadable);
  const resets = textUnlessForbidden(files, folder, "reset_method", unreadable) ?? "";
  const cdev = readCdev(files, folder);
  return {
    address,
    vendor: idText(files, `${folder}/vendor`),
    device: idText(files, `${folder}/device`),
    ...(header?.subsystem === undefined ? {} : { subsystem: header.subsystem }),
    class: files.readText(`${folder}/class`).replace(/^0x/, ""),
    ...(driver === undefined ? {} : { driver }),
    ...(group === undefined || !/^[0-9]+$/.test(group)
      ? {}
      : { iommuGroup: Number(group), groupNode: `/dev/vfio/${group}` }),
    ...(numaNode === undefined ? {} : { numaNode }),
    ...(physfn === undefined ? {} : { physfn }),
    parent: parentOf(files, folder),
    ...(cdev === undefined ? {} : { cdev }),
    resetMethods: resets.split(" ").filter((method) => method !== ""),
    ...(power === undefined ? {} : { powerState: power }),
    config,
    bars: readBars(files, folder),
    unreadable,
  };
}

/** Functions of the same bus, unless it is a root bus, and of the same physical function. */
function resetTogether(files: Files, { address, parent, physfn }: SnapshotFunction): string[] {
  const beside = isPciAddress(parent) ? listOr(files, `${DEVICES}/${parent}`) : [];
  return [...beside.filter(isPciAddress), ...virtualFunctions(files, physfn ?? address)];
}

/**
 * The virtual functions that a physical one has now.
 *
 * @param files where to read
 * @param physfn address of the physical function
 * @returns their addresses; none where it has none, or is not there
 */
export function virtualFunctions(files: Files, physfn: string): string[] {
  const folder = `${DEVICES}/${physfn}`;
  return listOr(files, folder).filter((name) => /^virtfn[0-9]+$/.test(name))
    .flatMap((name) => linkName(files, `${folder}/${name}`) ?? []);
}

/** Slots by the address of what sits in them, which has no function number. */
function readSlots(files: Files): ReadonlyMap<string, string> {
  const slots = new Map<string, string>();
  for (const name of listOr(files, SLOTS)) {
    const address = textOr(files, `${SLOTS}/${name}/address`);
    if (address !== undefined) slots.set(address, name);
  }
  return slots;
}

function readConfig(files: Files, folder: string, unreadable: Unreadable[]): Uint8Array {
  const config = files.read(`${folder}/config`, CONFIG_BYTES);
  if (config.length <= CONFIG_HEADER_BYTES) {
    unreadable.push({ field: "config beyond 64 bytes", right: "CAP_SYS_ADMIN" });
  }
  return config;
}

/** -1 is the kernel's word for none. */
function readNumaNode(
  files: Files,
  folder: string,
  unreadable: Unreadable[],
): number | undefined {
  const text = textUnlessForbidden(files, folder, "numa_node", unreadable);
  return text !== undefined && /^(?:0|[1-9][0-9]{0,8})$/.test(text) ? Number(text) : undefined;
}

function readBars(files: Files, folder: string): SnapshotBar[] {
  return parseResource(files.readText(`${folder}/resource`));
}

/** `/sys/bus/pci/devices/BDF/vfio-dev/vfioN/dev` is there only if the kernel makes a cdev. */
function readCdev(files: Files, folder: string): string | undefined {
  const name = listOr(files, `${folder}/vfio-dev`).find((entry) => /^vfio[0-9]+$/.test(entry));
  if (name === undefined || !files.exists(`${folder}/vfio-dev/${name}/dev`)) return undefined;
  return `/dev/vfio/devices/${name}`;
}

function parentOf(files: Files, folder: string): string {
  const path = files.realPath(folder).split("/");
  return path.at(-2) ?? "";
}

function idText(files: Files, path: string): string {
  const text = files.readText(path);
  if (!/^0x[0-9a-f]{4}$/.test(text)) {
    throw new SyntaxError(`Cannot read ${path}: no 16-bit id (received ${JSON.stringify(text)})`);
  }
  return text.slice(2);
}

function linkName(files: Files, path: string): string | undefined {
  return unlessAbsent(() => files.readLink(path).split("/").at(-1));
}

function textOr(files: Files, path: string): string | undefined {
  return unlessAbsent(() => files.readText(path));
}

/** A file that nothing is refused or allowed by: without the right, the rest is still worth having. */
function textUnlessForbidden(
  files: Files,
  folder: string,
  field: string,
  unreadable: Unreadable[],
): string | undefined {
  try {
    return textOr(files, `${folder}/${field}`);
  } catch (error) {
    if (!(error instanceof FilesError) || error.reason !== "forbidden") throw error;
    unreadable.push({ field, right: "CAP_DAC_READ_SEARCH" });
    return undefined;
  }
}

function listOr(files: Files, path: string): string[] {
  return unlessAbsent(() => files.list(path)) ?? [];
}

/** Optional entries: absent is an answer, everything else is not. */
function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FilesError && (error.reason === "absent" || error.reason === "gone")) {
      return undefined;
    }
    throw error;
  }
}
