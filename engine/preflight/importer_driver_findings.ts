/**
 * Whether the kernel drivers that are to attach are there, and can.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";
import { IMPORTER_DRIVERS, type ImporterDriver } from "../../policy/importer_drivers.ts";
import type { ImporterRule } from "../../policy/model.ts";
import { type Finding, hostFinding } from "../host_findings.ts";
import { functionsOfDriver, functionWords } from "../importer_functions.ts";
import { isBefore, parseRelease } from "../kernel_version.ts";
import type { PlannedGrant } from "../plan.ts";

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
    return [...tooOld(name, importer, driver, host), ...notThere(name, importer, driver, host)];
  });
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
