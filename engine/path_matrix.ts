/**
 * Which functions of a host could reach which: every exporter with every importer.
 *
 * @module
 */
import { type GroupViability, IommuGroups, isVfioDriver } from "../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { judgePath, type PathJudgement } from "../host/topology/judge.ts";
import { PciTree } from "../host/topology/tree.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import { functionsOfDriver } from "./importer_functions.ts";

/** A function whose BARs could be exported, and its group. */
export interface MatrixExporter {
  readonly entry: SnapshotFunction;
  /** Absent: it is in no IOMMU group. */
  readonly viability?: GroupViability;
}

/** A function that could do the DMA. */
export interface MatrixImporter {
  readonly entry: SnapshotFunction;
  /** Names of its RDMA, DRM and NVMe devices. */
  readonly names: readonly string[];
}

/** The table: its sides, and what is judged for each pair. */
export interface PathMatrix {
  readonly exporters: readonly MatrixExporter[];
  readonly importers: readonly MatrixImporter[];
  /** Judges one pair, in time linear in the depth of the tree. */
  readonly judge: (exporter: SnapshotFunction, importer: SnapshotFunction) => PathJudgement;
}

/** Class of bridges. */
const BRIDGE = "06";

/**
 * Finds what could export and what could import. What is bound to a VFIO driver could export, and any
 * function but a bridge that has a page of memory in a BAR could if it were; what is bound to an
 * importer's driver, or is an RDMA, DRM or NVMe device, could import.
 *
 * @param host its snapshot
 * @param shown which exporters are asked for
 */
export function pathMatrix(
  host: HostSnapshot,
  shown: (entry: SnapshotFunction) => boolean = () => true,
): PathMatrix {
  const tree = new PciTree(host);
  const groups = new IommuGroups(host);
  const names = namesByFunction(host);
  const importing = withImporterDrivers(host);
  return {
    exporters: host.functions.filter((entry) => couldExport(entry, host.pageSize) && shown(entry))
      .map((entry) => {
        const viability = groups.viability(entry);
        return { entry, ...(viability === undefined ? {} : { viability }) };
      }),
    importers: host.functions
      .filter((entry) => names.has(entry.address) || importing.has(entry))
      .map((entry) => ({ entry, names: names.get(entry.address) ?? [] })),
    judge: (exporter, importer) => judgePath(tree, exporter, importer),
  };
}

/** Functions for which the kernel would ask for a path. */
function withImporterDrivers(host: HostSnapshot): ReadonlySet<SnapshotFunction> {
  return new Set(
    [...IMPORTER_DRIVERS.values()].flatMap(({ name, verdict, needsP2pdmaTopology }) =>
      verdict === "accepts" && needsP2pdmaTopology ? functionsOfDriver(host, name) : []
    ),
  );
}

function couldExport(entry: SnapshotFunction, pageSize: number): boolean {
  if (entry.driver !== undefined && isVfioDriver(entry.driver)) return true;
  return !entry.class.startsWith(BRIDGE) &&
    entry.bars.some(({ kind, size }) => kind !== "io" && size >= BigInt(pageSize));
}

function namesByFunction(host: HostSnapshot): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const device of [...host.rdma ?? [], ...host.drm ?? [], ...host.nvme ?? []]) {
    if (device.function === undefined) continue;
    const known = names.get(device.function);
    if (known === undefined) names.set(device.function, [device.name]);
    else known.push(device.name);
  }
  return names;
}
