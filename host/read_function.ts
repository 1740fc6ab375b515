/**
 * Reads one PCI function from sysfs.
 *
 * @module
 */
import { isPciAddress, isRootBus } from "./address.ts";
import { CONFIG_HEADER_BYTES, EXTENDED_CONFIG_BYTES } from "./config_space.ts";
import { FieldReader, type Finding } from "./field_reader.ts";
import type { Files, Folder } from "./files.ts";
import { isVfioDriver } from "./group_viability.ts";
import { readIdentity } from "./read_identity.ts";
import { parseResource } from "./resource.ts";
import { NO_RIGHT, type SnapshotFunction } from "./snapshot.ts";

/** Where every function has an entry. */
export const PCI_DEVICES = "/sys/bus/pci/devices";
/** An attribute of sysfs is a page at most. */
const ATTRIBUTE_BYTES = 4096;

/**
 * Reads one PCI function.
 *
 * @param files where to read
 * @param devices the folder of all functions, {@linkcode PCI_DEVICES}
 * @param address of the function
 * @param findings takes fields that make no sense
 * @returns its part of a snapshot
 * @throws {FilesError} if the function, or one of the files that every function has, is not there
 * @throws {SyntaxError} if one of these files holds what the kernel never writes
 */
export function readFunction(
  files: Files,
  devices: Folder,
  address: string,
  findings: Finding[] = [],
): FunctionDraft {
  return devices.inFolder(
    address,
    (folder) => readWithin(devices, address, new FieldReader(files, findings, folder)),
  );
}

/** A function while it is put together. */
export type FunctionDraft = { -readonly [K in keyof SnapshotFunction]: SnapshotFunction[K] };

/**
 * The power state comes first: reading configuration space wakes a function that is in D3cold
 * (`pci_read_config` in drivers/pci/pci-sysfs.c). `resource` comes last: what vanishes while it is
 * read is missing then, and no half of it is kept.
 */
function readWithin(devices: Folder, address: string, fields: FieldReader): FunctionDraft {
  const { folder, files, findings } = fields;
  const before = findings.length;
  const driver = fields.linkName("driver", "driver");
  const power = readPower(fields, driver);
  const config = readConfig(fields);
  const group = fields.linkName("iommu_group", "iommuGroup");
  const physfn = fields.linkName("physfn", "physfn");
  const resets = fields.text("reset_method", "resetMethods") ?? "";
  const { vendor, device, class: code, subsystem } = readIdentity(folder, config);
  const entry: FunctionDraft = {
    address,
    vendor,
    device,
    class: code,
    parent: "",
    resetMethods: resets.split(" ").filter((method) => method !== ""),
    config,
    bars: [],
    unreadable: fields.unreadable,
  };
  set(entry, "subsystem", subsystem);
  set(entry, "driver", driver);
  set(entry, "driverOverride", readOverride(fields));
  setGroup(entry, fields, group);
  set(entry, "numaNode", fields.number("numa_node", "numaNode"));
  set(entry, "physfn", physfn);
  if (physfn === undefined) set(entry, "sriov", readSriov(fields));
  entry.parent = parentOf(files, devices, address);
  setCdev(entry, fields);
  set(entry, "powerState", power.state);
  set(entry, "runtimeStatus", power.runtime);
  if (findings.length > before) noteSenseless(fields, before);
  entry.bars = parseResource(folder.readText("resource", ATTRIBUTE_BYTES));
  return entry;
}

/** By the names of their files, the fields by which policies tell devices apart. */
const DECISIVE: ReadonlyMap<string, string> = new Map([
  ["driver", "driver"],
  ["iommu_group", "iommuGroup"],
  ["numa_node", "numaNode"],
]);

/** What makes no sense is not known, which is another thing than that there is none. */
function noteSenseless({ findings, unreadable }: FieldReader, first: number): void {
  for (const { path } of findings.slice(first)) {
    const field = DECISIVE.get(path.slice(path.lastIndexOf("/") + 1));
    if (field !== undefined) unreadable.push({ field, right: NO_RIGHT });
  }
}

/**
 * Sets a field of a function: what is not known of it has no key.
 *
 * @param entry the function
 * @param key of the field
 * @param value absent: not known
 */
export function set<K extends keyof FunctionDraft>(
  entry: FunctionDraft,
  key: K,
  value: FunctionDraft[K] | undefined,
): void {
  if (value !== undefined) entry[key] = value;
}

/**
 * The virtual functions that a physical one has now.
 *
 * @param files where to read
 * @param physfn address of the physical function
 * @param findings takes what cannot be read
 * @returns their addresses; none where it has none, or is not there
 */
export function virtualFunctions(
  files: Files,
  physfn: string,
  findings: Finding[] = [],
): readonly string[] {
  const fields = new FieldReader(files, findings);
  const folder = `${PCI_DEVICES}/${physfn}`;
  return fields.names(folder).filter((name) => /^virtfn[0-9]+$/.test(name))
    .flatMap((name) => fields.linkName(`${folder}/${name}`) ?? []).filter(isPciAddress);
}

/** A kernel without power management has no `runtime_status`. */
function readPower(
  fields: FieldReader,
  driver: string | undefined,
): { readonly state: string | undefined; readonly runtime: string | undefined } {
  const state = fields.text("power_state", "powerState");
  const isOfVfio = driver !== undefined && isVfioDriver(driver);
  return {
    state,
    runtime: isOfVfio ? fields.text("power/runtime_status", "runtimeStatus") : undefined,
  };
}

function readConfig({ folder, unreadable }: FieldReader): Uint8Array {
  const config = folder.read("config", EXTENDED_CONFIG_BYTES);
  if (config.length < CONFIG_HEADER_BYTES) {
    throw new SyntaxError(
      `Cannot read ${folder.path}/config: the header alone has ${CONFIG_HEADER_BYTES} bytes (received ${config.length})`,
    );
  }
  if (config.length === CONFIG_HEADER_BYTES) {
    unreadable.push({ field: "config beyond 64 bytes", right: "CAP_SYS_ADMIN" });
  }
  return config;
}

/** Where none is set sysfs says so in words. */
function readOverride(fields: FieldReader): string | undefined {
  const text = fields.text("driver_override", "driverOverride");
  return text === "(null)" ? undefined : text;
}

/**
 * The number of an IOMMU group.
 *
 * @param name of its folder
 * @returns undefined if no group has such a name
 */
export function groupNumber(name: string): number | undefined {
  return /^(?:0|[1-9][0-9]{0,8})$/.test(name) ? Number(name) : undefined;
}

function setGroup(entry: FunctionDraft, fields: FieldReader, group: string | undefined): void {
  if (group === undefined) return;
  const number = groupNumber(group);
  if (number === undefined) {
    const why = `no IOMMU group has such a number (received ${JSON.stringify(group)})`;
    return fields.find("iommu_group", why);
  }
  entry.iommuGroup = number;
  entry.groupNode = `/dev/vfio/${group}`;
}

/** There only for physical functions that can have virtual ones. */
function readSriov(fields: FieldReader): SnapshotFunction["sriov"] {
  const total = fields.number("sriov_totalvfs", "sriov");
  if (total === undefined) return undefined;
  const enabled = fields.number("sriov_numvfs", "sriov");
  return enabled === undefined ? undefined : { total, enabled };
}

/** `/sys/bus/pci/devices/BDF/vfio-dev/vfioN/dev` is there only if the kernel makes a cdev. */
function setCdev(entry: FunctionDraft, fields: FieldReader): void {
  const name = fields.names("vfio-dev", "cdev").find((each) =>
    /^vfio(?:0|[1-9][0-9]{0,8})$/.test(each)
  );
  const { files, folder } = fields;
  if (name === undefined || !files.exists(`${folder.path}/vfio-dev/${name}/dev`)) return;
  entry.cdev = `/dev/vfio/devices/${name}`;
  set(entry, "cdevAccess", fields.access(entry.cdev, "cdevAccess"));
}

/** The entry of a bus is a link to the device, which lies below what it is connected to. */
function parentOf(files: Files, devices: Folder, address: string): string {
  const folder = `${PCI_DEVICES}/${address}`;
  // Who reads it by its path says what is wrong if it is not there.
  const link = devices.linkIfThere(address) ?? files.readLink(folder);
  const parent = link.split("/").at(-2) ?? "";
  if (isPciAddress(parent) || isRootBus(parent)) return parent;
  throw new SyntaxError(
    `Cannot read ${folder}: it leads to no place below a bridge or a root bus (received ${
      JSON.stringify(link)
    })`,
  );
}
