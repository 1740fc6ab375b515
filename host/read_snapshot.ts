/**
 * Takes a snapshot of this host through the `Files` port.
 *
 * @module
 */
import { comparePciAddresses, isPciAddress } from "./address.ts";
import { readDeviceNames } from "./device_names.ts";
import { FieldReader, type Finding } from "./field_reader.ts";
import { type Files, FilesError, type Folder, inFolder } from "./files.ts";
import { Beside } from "./read_beside.ts";
import { readCpu } from "./read_cpu.ts";
import { groupNumber, PCI_DEVICES, readFunction, set } from "./read_function.ts";
import type { HostSnapshot, LeftOutFunction, NodeAccess, SnapshotFunction } from "./snapshot.ts";
import { wholeOf } from "./whole_functions.ts";

const SLOTS = "/sys/bus/pci/slots";
const IOMMU = "/sys/class/iommu";
const NODES = "/dev/vfio";
/** What a slot's address is shorter by than that of a function in it: `.0`. */
const FUNCTION_DIGITS = 2;
const GROUPS = "/sys/kernel/iommu_groups";

/** What the kernel tells of itself, from the `Kernel` port. */
export interface KernelFacts {
  readonly release: string;
  /** Bytes. */
  readonly pageSize: number;
  /** Absent: not known (`readKernelConfig`). */
  readonly config?: HostSnapshot["kernel"]["config"];
}

/** A function that vanished, or whose folder makes no sense, while the snapshot was taken. */
export interface SkippedFunction {
  readonly address: string;
  readonly why: string;
}

/** A snapshot, and what is not in it. */
export interface TakenSnapshot {
  readonly snapshot: HostSnapshot;
  readonly skipped: readonly SkippedFunction[];
  /** Fields that were there and made no sense; they are left out. */
  readonly findings: readonly Finding[];
}

/**
 * Reads every PCI function below `/sys`, and the names that devices have.
 *
 * @param files where to read
 * @param kernel release and page size
 * @param wanted only functions for which this says true are read in full; it gets vendor and
 *   device so that a verb that needs one device does not read 4,000. The bridges above them, their
 *   physical functions, their IOMMU groups, what is reset together with them, and the first function
 *   of their root buses (by which the kernel knows a host bridge) are read as well
 * @returns the snapshot, and what had to be left out. It has the names of all devices, read or not
 *   (`namesAmong`)
 * @throws {FilesError} if `/sys/bus/pci/devices` cannot be listed
 */
export function readSnapshot(
  files: Files,
  kernel: KernelFacts,
  wanted: (address: string) => boolean = () => true,
): TakenSnapshot {
  return inFolder(files, PCI_DEVICES, (devices) => readWithin(files, kernel, wanted, devices));
}

function readWithin(
  files: Files,
  kernel: KernelFacts,
  wanted: (address: string) => boolean,
  devices: Folder,
): TakenSnapshot {
  const host = new FieldReader(files);
  const reader = new FunctionReader(host, devices);
  const listed = files.list(PCI_DEVICES);
  for (const address of listed) {
    if (!isPciAddress(address)) reader.skip(address, "the name is no PCI address");
    else if (wanted(address)) reader.read(address);
  }
  reader.readTogether(listed);
  const functions = wholeOf(reader.functions, (address, why) => reader.skip(address, why));
  const isAll = reader.isAll(files.list(PCI_DEVICES));
  const leftOut = isAll ? [] : leftOutOf(host, functions, reader);
  const cpu = readCpu(host);
  return {
    snapshot: {
      kernel: {
        release: kernel.release,
        ...(kernel.config === undefined ? {} : { config: kernel.config }),
      },
      ...(cpu === undefined ? {} : { cpu }),
      pageSize: kernel.pageSize,
      iommu: iommuUnits(host),
      functions: [...functions.values()].sort((a, b) => comparePciAddresses(a.address, b.address)),
      ...readDeviceNames(files, host),
      ...(leftOut.length === 0 ? {} : { leftOut }),
      ...(host.unreadable.length === 0 ? {} : { unreadable: host.unreadable }),
    },
    skipped: reader.skipped,
    findings: host.findings,
  };
}

/**
 * Functions that could not be read, and those whose group says that they are in it while they
 * themselves do not. Of groups that were not read as a whole nothing is missing.
 */
function leftOutOf(
  host: FieldReader,
  functions: ReadonlyMap<string, SnapshotFunction>,
  reader: FunctionReader,
): readonly LeftOutFunction[] {
  const found = new Map<string, LeftOutFunction>();
  for (const [iommuGroup, members] of membersOf(host, functions)) {
    for (const address of members.filter(isPciAddress)) {
      const known = functions.get(address)?.iommuGroup === iommuGroup;
      if (!known && reader.wasMeant(address)) found.set(address, { address, iommuGroup });
    }
  }
  for (const { address } of reader.skipped) {
    if (!isPciAddress(address) || found.has(address)) continue;
    found.set(address, { address, ...groupOfLeftOut(host.files, address) });
  }
  return [...found.values()].sort((a, b) => comparePciAddresses(a.address, b.address));
}

/** A function without a link has no group, or is gone. Of one that cannot be read nobody knows. */
function groupOfLeftOut(files: Files, address: string): Omit<LeftOutFunction, "address"> {
  // Why it cannot be read has been told already, if it cannot.
  const fields = new FieldReader(files);
  const link = fields.linkName(`${PCI_DEVICES}/${address}/iommu_group`);
  if (link === undefined) {
    const isThere = fields.findings.length > 0 || fields.unreadable.length > 0;
    return isThere ? {} : { iommuGroupIs: "none" };
  }
  const iommuGroup = groupNumber(link);
  return iommuGroup === undefined ? {} : { iommuGroup };
}

/**
 * What is in the groups of some functions, by the groups and not by the functions, which may have gone
 * since they were read.
 */
function membersOf(
  { files, findings, unreadable }: FieldReader,
  functions: ReadonlyMap<string, SnapshotFunction>,
): ReadonlyMap<number, readonly string[]> {
  return inFolder(files, GROUPS, (folder) => {
    const groups = new FieldReader(files, findings, folder);
    const found = new Map<number, readonly string[]>();
    for (const { iommuGroup } of functions.values()) {
      if (iommuGroup === undefined || found.has(iommuGroup)) continue;
      found.set(iommuGroup, groups.names(`${iommuGroup}/devices`, "iommuGroup"));
    }
    unreadable.push(...groups.unreadable);
    return found;
  });
}

function iommuUnits(host: FieldReader): string[] {
  return host.names(IOMMU, "iommu").filter((name) => {
    const sound = /^[\x20-\x7e]{1,256}$/.test(name);
    if (!sound) host.find(`${IOMMU}/${name}`, "no IOMMU has such a name");
    return sound;
  });
}

/** Reads functions, each once. */
class FunctionReader {
  readonly skipped: SkippedFunction[] = [];
  readonly functions = new Map<string, SnapshotFunction>();
  readonly #tried = new Set<string>();
  #partly = false;
  readonly #groups = new Map<string, NodeAccess | undefined>();
  readonly #slots: ReadonlyMap<string, string>;
  readonly #nodes: ReadonlySet<string>;

  /**
   * @param host takes what is not of one function alone
   * @param devices the folder of all functions
   */
  constructor(readonly host: FieldReader, private readonly devices: Folder) {
    this.#slots = readSlots(host);
    this.#nodes = new Set(host.names(NODES, "groupAccess"));
  }

  skip(address: string, why: string): void {
    this.skipped.push({ address, why });
  }

  read(address: string): void {
    if (this.#tried.has(address)) return;
    this.#tried.add(address);
    try {
      const entry = readFunction(this.host.files, this.devices, address, this.host.findings);
      set(entry, "slot", this.#slots.get(address.slice(0, -FUNCTION_DIGITS)));
      set(entry, "groupNode", this.#groupNode(entry));
      set(entry, "groupAccess", this.#groupAccess(entry.groupNode));
      this.functions.set(address, entry);
    } catch (error) {
      if (!(error instanceof FilesError) && !(error instanceof SyntaxError)) throw error;
      this.skip(address, error.message);
    }
  }

  /** Without an IOMMU the kernel gives the node another name (`vfio_create_group`). */
  #groupNode({ iommuGroup, groupNode }: SnapshotFunction): string | undefined {
    if (this.#nodes.size === 0) return groupNode;
    const other = `noiommu-${iommuGroup}`;
    return this.#nodes.has(other) && !this.#nodes.has(`${iommuGroup}`)
      ? `${NODES}/${other}`
      : groupNode;
  }

  /** The node is there only if something of the group is bound to a VFIO driver. */
  #groupAccess(groupNode: string | undefined): NodeAccess | undefined {
    const name = groupNode?.slice(NODES.length + 1) ?? "";
    if (groupNode === undefined || !this.#nodes.has(name)) return undefined;
    if (!this.#groups.has(groupNode)) {
      this.#groups.set(groupNode, this.host.access(groupNode, `access of ${groupNode}`));
    }
    return this.#groups.get(groupNode);
  }

  /**
   * Whether nothing can be missing: every function that the host has was read, and says which group it
   * is in. Then the groups, a folder each, have nothing to add.
   *
   * @param listed the functions that the host has now
   */
  isAll(listed: readonly string[]): boolean {
    return this.skipped.length === 0 &&
      listed.every((address) => this.functions.get(address)?.iommuGroup !== undefined);
  }

  /** Whether a function should be in the snapshot. */
  wasMeant(address: string): boolean {
    return !this.#partly || this.#tried.has(address);
  }

  /** @param listed all functions: if all were wanted, all have been read, or could not be */
  readTogether(listed: readonly string[]): void {
    const partly = listed.some((name) => isPciAddress(name) && !this.#tried.has(name));
    this.#partly = partly;
    const beside = new Beside(this.host);
    if (partly) {
      for (const entry of [...this.functions.values()]) {
        for (const address of beside.of(entry)) this.read(address);
      }
    }
    // Resets of what is above hit what is below. What is added here is walked through in its turn.
    for (const entry of this.functions.values()) {
      const { parent, physfn } = entry;
      if (isPciAddress(parent)) this.read(parent);
      else if (partly) beside.firstOnRoot(entry).forEach((first) => this.read(first));
      if (physfn !== undefined) this.read(physfn);
    }
  }
}

/** Slots by the address of what sits in them, which has no function number. */
function readSlots(host: FieldReader): ReadonlyMap<string, string> {
  const slots = new Map<string, string>();
  for (const name of host.names(SLOTS, "slot")) {
    const address = host.text(`${SLOTS}/${name}/address`, "slot");
    if (address === undefined) continue;
    if (/^[\x20-\x7e]{1,256}$/.test(name)) slots.set(address, name);
    else host.find(`${SLOTS}/${name}`, "no slot has such a name");
  }
  return slots;
}
