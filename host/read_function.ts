/**
 * Reads one PCI function from sysfs.
 *
 * @module
 */
import { isPciAddress, isRootBus } from "./address.ts";
import { CONFIG_HEADER_BYTES, EXTENDED_CONFIG_BYTES } from "./config_space.ts";
import { FieldReader, type Finding } from "./field_reader.ts";
import type { Files } from "./files.ts";
import { isVfioDriver } from "./group_viability.ts";
import { readIdentity } from "./read_identity.ts";
import { parseResource } from "./resource.ts";
import type { SnapshotFunction } from "./snapshot.ts";

/** Where every function has an entry. */
export const PCI_DEVICES = "/sys/bus/pci/devices";
/** An attribute of sysfs is a page at most. */
const ATTRIBUTE_BYTES = 4096;

/**
 * Reads one PCI function.
 *
 * @param files where to read
 * @param address of the function
 * @param findings takes fields that make no sense
 * @returns its part of a snapshot
 * @throws {FilesError} if the function, or one of the files that every function has, is not there
 * @throws {SyntaxError} if one of these files holds what the kernel never writes
 */
export function readFunction(
  files: Files,
  address: string,
  findings: Finding[] = [],
): SnapshotFunction {
  const folder = `${PCI_DEVICES}/${address}`;
  const fields = new FieldReader(files, findings);
  const config = readConfig(fields, folder);
  const group = fields.linkName(`${folder}/iommu_group`, "iommuGroup");
  const physfn = fields.linkName(`${folder}/physfn`, "physfn");
  const driver = fields.linkName(`${folder}/driver`, "driver");
  const resets = fields.text(`${folder}/reset_method`, "resetMethods") ?? "";
  return {
    address,
    ...readIdentity(files, folder, config),
    ...present("driver", driver),
    ...present("driverOverride", readOverride(fields, folder)),
    ...groupOf(fields, folder, group),
    ...present("numaNode", fields.number(`${folder}/numa_node`, "numaNode")),
    ...present("physfn", physfn),
    ...(physfn === undefined ? readSriov(fields, folder) : {}),
    parent: parentOf(files, folder),
    ...readCdev(fields, folder),
    resetMethods: resets.split(" ").filter((method) => method !== ""),
    ...present("powerState", fields.text(`${folder}/power_state`, "powerState")),
    ...(driver !== undefined && isVfioDriver(driver) ? readRuntimeStatus(fields, folder) : {}),
    config,
    // Last: what vanishes while it is read is missing here, and no half of it is kept.
    bars: parseResource(files.readText(`${folder}/resource`, ATTRIBUTE_BYTES)),
    unreadable: fields.unreadable,
  };
}

function present<K extends string, T>(key: K, value: T | undefined): { [key in K]?: T } {
  return value === undefined ? {} : { [key]: value } as { [key in K]: T };
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

function readConfig({ files, unreadable }: FieldReader, folder: string): Uint8Array {
  const config = files.read(`${folder}/config`, EXTENDED_CONFIG_BYTES);
  if (config.length < CONFIG_HEADER_BYTES) {
    throw new SyntaxError(
      `Cannot read ${folder}/config: the header alone has ${CONFIG_HEADER_BYTES} bytes (received ${config.length})`,
    );
  }
  if (config.length === CONFIG_HEADER_BYTES) {
    unreadable.push({ field: "config beyond 64 bytes", right: "CAP_SYS_ADMIN" });
  }
  return config;
}

/** A kernel without power management has no such file. */
function readRuntimeStatus(
  fields: FieldReader,
  folder: string,
): Pick<SnapshotFunction, "runtimeStatus"> {
  const path = `${folder}/power/runtime_status`;
  if (!fields.has(path, "runtimeStatus")) return {};
  return present("runtimeStatus", fields.text(path, "runtimeStatus"));
}

/** Where none is set sysfs says so in words. */
function readOverride(fields: FieldReader, folder: string): string | undefined {
  const text = fields.text(`${folder}/driver_override`, "driverOverride");
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

function groupOf(
  { findings }: FieldReader,
  folder: string,
  group: string | undefined,
): Pick<SnapshotFunction, "iommuGroup" | "groupNode"> {
  if (group === undefined) return {};
  const iommuGroup = groupNumber(group);
  if (iommuGroup !== undefined) return { iommuGroup, groupNode: `/dev/vfio/${group}` };
  const why = `no IOMMU group has such a number (received ${JSON.stringify(group)})`;
  findings.push({ path: `${folder}/iommu_group`, why });
  return {};
}

/** There only for physical functions that can have virtual ones. */
function readSriov(fields: FieldReader, folder: string): Pick<SnapshotFunction, "sriov"> {
  if (!fields.has(`${folder}/sriov_totalvfs`, "sriov")) return {};
  const total = fields.number(`${folder}/sriov_totalvfs`, "sriov");
  if (total === undefined) return {};
  const enabled = fields.number(`${folder}/sriov_numvfs`, "sriov");
  return enabled === undefined ? {} : { sriov: { total, enabled } };
}

/** `/sys/bus/pci/devices/BDF/vfio-dev/vfioN/dev` is there only if the kernel makes a cdev. */
function readCdev(
  fields: FieldReader,
  folder: string,
): Pick<SnapshotFunction, "cdev" | "cdevAccess"> {
  const below = `${folder}/vfio-dev`;
  if (!fields.has(below, "cdev")) return {};
  const name = fields.names(below, "cdev").find((entry) =>
    /^vfio(?:0|[1-9][0-9]{0,8})$/.test(entry)
  );
  if (name === undefined || !fields.files.exists(`${below}/${name}/dev`)) return {};
  const cdev = `/dev/vfio/devices/${name}`;
  return { cdev, ...present("cdevAccess", fields.access(cdev, "cdevAccess")) };
}

/** The entry of a bus is a link to the device, which lies below what it is connected to. */
function parentOf(files: Files, folder: string): string {
  const link = files.readLink(folder);
  const parent = link.split("/").at(-2) ?? "";
  if (isPciAddress(parent) || isRootBus(parent)) return parent;
  throw new SyntaxError(
    `Cannot read ${folder}: it leads to no place below a bridge or a root bus (received ${
      JSON.stringify(link)
    })`,
  );
}
