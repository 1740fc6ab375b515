/**
 * What the host's PCI topology says of planned grants: whether VFIO can own the devices that Bargate
 * opens, and whether the importers' functions can reach them.
 *
 * @module
 */
import { type GroupViability, IommuGroups } from "../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { PathJudgement } from "../host/topology/judge.ts";
import { PciTree } from "../host/topology/tree.ts";
import { MOST_NAMED, pathRemedy, pathText, someOf } from "../host/topology/words.ts";
import type { HostCode } from "../policy/host_codes.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import type { ExportRule, ImporterRule } from "../policy/model.ts";
import type { Span } from "../policy/position.ts";
import { GroupRemedies } from "./group_remedy.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import { ImporterClasses, type JudgedClass } from "./importer_classes.ts";
import { functionsOfDriver, functionWords } from "./importer_functions.ts";

/** What matters of a planned grant. */
export interface PlacedGrant {
  readonly rule: Pick<ExportRule, "device" | "importers" | "at">;
  readonly importer: Pick<ImporterRule, "name" | "driver" | "device">;
  /** `policy/importer` */
  readonly importerName: string;
  /** The function that will do the DMA, if the importer declares one and the host has it. */
  readonly importerFunction?: SnapshotFunction;
  /** With an owner, who has opened it already, so that its group can be owned. */
  readonly device: { readonly address: string; readonly owner?: unknown };
}

/**
 * Judges planned grants: each device once, and each importer of a device once.
 *
 * @param host on which they are planned
 * @param grants as they would be made
 */
export function topologyFindings(
  host: HostSnapshot,
  grants: readonly PlacedGrant[],
): readonly Finding[] {
  const topology = new Topology(host, grants);
  const judged = new Set<string>();
  const first = (key: string): boolean => !judged.has(key) && judged.add(key) !== undefined;
  return grants.flatMap((grant) => {
    const { address, owner } = grant.device;
    const own = owner === undefined && first(address) ? topology.ofGroup(grant) : [];
    const reach = first(`${address} ${grant.importerName}`) ? topology.ofImporter(grant) : [];
    return [...own, ...reach];
  });
}

class Topology {
  readonly #tree: PciTree;
  readonly #groups: IommuGroups;
  readonly #remedies: GroupRemedies;
  readonly #candidates = new Map<string, ImporterClasses>();

  constructor(private readonly host: HostSnapshot, grants: readonly PlacedGrant[]) {
    this.#tree = new PciTree(host);
    this.#remedies = new GroupRemedies(host, this.#tree, grants);
    this.#groups = new IommuGroups(host);
  }

  ofGroup({ rule, device }: PlacedGrant): readonly Finding[] {
    const entry = this.#tree.at(device.address);
    const viability = entry === undefined ? undefined : this.#groups.viability(entry);
    if (entry === undefined || viability === undefined) return [];
    if (viability.spoilerCount === 0) return this.#ofUnknown(rule.device.at, entry, viability);
    const spoilers = viability.spoilers(MOST_NAMED)
      .map(({ address, driver }) => `${address} (${driver})`);
    const message =
      `VFIO cannot own IOMMU group ${viability.group} of ${entry.address}: other drivers hold ${
        someOf(spoilers, viability.spoilerCount)
      } in it`;
    return [found("BG2201", rule.device.at, message, this.#remedies.of(entry, viability))];
  }

  /** Nothing is seen to hold the group. What could not be read of it may. */
  #ofUnknown(at: Span, entry: SnapshotFunction, viability: GroupViability): readonly Finding[] {
    const { group, unknown } = viability;
    if (unknown.length === 0) return [];
    const message = group === undefined
      ? `whether VFIO can own the IOMMU group of ${entry.address} is not known: which it is in could not be read`
      : `whether VFIO can own IOMMU group ${group} of ${entry.address} is not known: ${
        someOf(unknown)
      } could not be read whole, and may hold it`;
    return [found("BG2206", at, message)];
  }

  /** A function that is declared and not found has been told; others are not meant then. */
  ofImporter(grant: PlacedGrant): readonly Finding[] {
    const { importer, importerFunction, device } = grant;
    const driver = IMPORTER_DRIVERS.get(importer.driver.value);
    const exporter = this.#tree.at(device.address);
    if (driver?.verdict !== "accepts" || !driver.needsP2pdmaTopology) return [];
    if (exporter === undefined) return [];
    if (importer.device !== undefined && importerFunction === undefined) return [];
    const functions = importerFunction === undefined
      ? this.#functionsOf(driver.name)
      : new ImporterClasses(this.#tree, [importerFunction]);
    if (functions.count === 0) {
      const message =
        `importer ${importer.name}, to ${device.address}: the path is not checked, for no function of the host is ${
          functionWords(driver.name)
        }`;
      return [found("BG2205", placeOf(grant), message)];
    }
    return pathFindings(functions.from(exporter), grant);
  }

  #functionsOf(driver: string): ImporterClasses {
    const known = this.#candidates.get(driver);
    if (known !== undefined) return known;
    const functions = new ImporterClasses(this.#tree, functionsOfDriver(this.host, driver));
    this.#candidates.set(driver, functions);
    return functions;
  }
}

/** At most one of each kind: what cannot be reached, what only through the host bridge, what is not known. */
function pathFindings(
  judgements: readonly JudgedClass[],
  grant: PlacedGrant,
): readonly Finding[] {
  const tell = (code: HostCode, wanted: PathJudgement["kind"]): Finding[] => {
    const told = judgements.filter(({ judgement }) => judgement.kind === wanted);
    const nearest = told[0]?.judgement;
    if (nearest === undefined) return [];
    const count = told.reduce((sum, each) => sum + each.count, 0);
    const from = someOf(nearestOf(told), count);
    const which = count === 1 ? "" : ` of ${nearest.importer}`;
    const message =
      `importer ${grant.importer.name}, ${from} to ${nearest.exporter}: the path${which} is ${
        pathText(nearest)
      }`;
    return [found(code, placeOf(grant), message, pathRemedy(nearest))];
  };
  const never = judgements.every(({ judgement }) => judgement.kind === "not-supported");
  return [
    ...tell(never ? "BG2202" : "BG2203", "not-supported"),
    ...tell("BG2204", "through-host-bridge"),
    ...tell("BG2205", "not-known"),
  ];
}

/** The first of all classes together. */
function nearestOf(classes: readonly JudgedClass[]): readonly string[] {
  return classes.flatMap(({ first, judgement }) =>
    first.map((member) => ({ ...member, distance: judgement.path.distance }))
  ).sort((a, b) => a.distance - b.distance || a.place - b.place).map(({ address }) => address);
}

/** Where the rule names the importer. */
function placeOf({ rule, importer }: PlacedGrant): Span {
  return rule.importers.find(({ value }) => value === importer.name)?.at ?? rule.at;
}

function found(code: HostCode, at: Span, message: string, fix?: string): Finding {
  const finding = hostFinding(code, at, message);
  return fix === undefined ? finding : { ...finding, diagnostic: { ...finding.diagnostic, fix } };
}
