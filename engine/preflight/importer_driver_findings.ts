/**
 * Whether the kernel drivers that are to attach are there, and can.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { IMPORTER_DRIVERS, type ImporterDriver } from "../../policy/importer_drivers.ts";
import type { ImporterRule } from "../../policy/model.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import { functionsOfDriver, functionWords } from "../importer_functions.ts";
import { isBefore, parseRelease } from "../../host/kernel_release.ts";
import type { PlannedGrant } from "../plan.ts";
import type { NotChecked } from "./not_checked.ts";

/** Programs use them by an RDMA device; its driver is another module than the function's. */
const OF_RDMA: ReadonlySet<string> = new Set(["mlx5", "irdma"]);

/** It needs no function of its own: whatever is attached to the IOAS does the DMA. */
const IOMMUFD = "iommufd";

/**
 * @param host what is there
 * @param grants that would be made
 * @returns drivers that no function is bound to, or that this kernel's exporter refuses
 */
export function importerDriverFindings(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): readonly Finding[] {
  const importers = new Map(grants.map(({ importer, importerName }) => [importerName, importer]));
  return [...importers].flatMap(([name, importer]) => {
    const driver = IMPORTER_DRIVERS.get(importer.driver.value);
    if (driver === undefined) return [];
    return [
      ...tooOld(name, importer, driver, host),
      ...notThere(name, importer, driver, host),
      ...withoutRdma(name, importer, functionsOf(name, driver, grants, host), host),
    ];
  });
}

/**
 * @param host what is there
 * @param grants that would be made
 * @returns importers whose functions attach by an RDMA device, where nobody looked for these
 */
export function importerDriversNotChecked(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
): readonly NotChecked[] {
  if (host.rdma !== undefined) return [];
  const names = new Set(
    grants.filter(({ importer }) => OF_RDMA.has(importer.driver.value))
      .map(({ importerName }) => importerName),
  );
  return [...names].map((name) => ({
    what: `whether importer ${name} has an RDMA device`,
    why: "the inventory does not say which RDMA devices the host has",
  }));
}

/** The one that is declared, or all of the driver. */
function functionsOf(
  name: string,
  { name: driver }: ImporterDriver,
  grants: readonly PlannedGrant[],
  host: HostSnapshot,
): readonly SnapshotFunction[] {
  const of = grants.find(({ importerName }) => importerName === name);
  if (of?.importer.device === undefined) return functionsOfDriver(host, driver);
  return of.importerFunction === undefined ? [] : [of.importerFunction];
}

/** That there are none at all is told by others. */
function withoutRdma(
  name: string,
  { driver: { value, at }, device }: ImporterRule,
  functions: readonly SnapshotFunction[],
  { rdma }: HostSnapshot,
): Finding[] {
  if (rdma === undefined || !OF_RDMA.has(value) || functions.length === 0) return [];
  const addresses = new Set(functions.map(({ address }) => address));
  if (rdma.some((each) => each.function !== undefined && addresses.has(each.function))) return [];
  const which = [...addresses].slice(0, 4).join(", ");
  const what = `importer ${name}: no RDMA device is of ${which}${
    addresses.size > 4 ? ", …" : ""
  }, by which ${value} would attach`;
  return [hostFinding("BG2051", device?.at ?? at, what)];
}

function tooOld(
  name: string,
  { driver: { at } }: ImporterRule,
  { name: driver, since }: ImporterDriver,
  { kernel: { release } }: HostSnapshot,
): Finding[] {
  if (since === undefined || !isBefore(parseRelease(release), parseRelease(since))) return [];
  const what =
    `importer ${name}: ${driver} attaches to buffers of VFIO from Linux ${since} on, this is ${release}`;
  return [hostFinding("BG2038", at, what)];
}

/** A declared function is judged where it is declared. */
function notThere(
  name: string,
  { driver: { at }, device }: ImporterRule,
  { name: driver }: ImporterDriver,
  host: HostSnapshot,
): Finding[] {
  if (device !== undefined || driver === IOMMUFD) return [];
  if (functionsOfDriver(host, driver).length > 0) return [];
  const what = `importer ${name}: no PCI function is ${functionWords(driver)}`;
  return [hostFinding("BG2034", at, what)];
}
