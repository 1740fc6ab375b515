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
import { letThrough, MOST_NAMED, pathRemedy, pathText, someOf } from "../host/topology/words.ts";
import type { Related } from "../policy/diagnostic.ts";
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
  const groups: Finding[] = [];
  const paths: ToldPath[] = [];
  for (const grant of grants) {
    const { address, owner } = grant.device;
    if (owner === undefined && first(address)) groups.push(...topology.ofGroup(grant));
    if (first(`${address} ${grant.importerName}`)) paths.push(...topology.ofImporter(grant));
  }
  return [...groups, ...pathFindings(paths)];
}

/** What is to be told of the way from an importer to a device. */
interface ToldPath {
  readonly code: HostCode;
  readonly at: Span;
  /** The importer, and the functions of which it is told. */
  readonly from: string;
  readonly importer: string;
  readonly to: string;
  readonly what: string;
  readonly fix?: string;
}

/** Notes that say the same of several devices are one. */
function pathFindings(paths: readonly ToldPath[]): readonly Finding[] {
  const groups = Map.groupBy(paths, ({ code, importer, from, to, what }) => {
    const isNote = code === "BG2203" || code === "BG2204";
    return JSON.stringify([code, importer, from, what, isNote ? "" : to]);
  });
  return [...groups.values()].flatMap((group) => {
    const [first, ...others] = group;
    if (first === undefined) return [];
    const { code, at, from, what, fix } = first;
    const message = `${from} to ${someOf(group.map(({ to }) => to))}: ${what}`;
    const related = others.slice(0, MOST_NAMED).map((other) => ({
      ...other.at,
      message: `and to ${other.to}`,
    }));
    return [found(code, at, message, fix, related)];
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
  ofImporter(grant: PlacedGrant): readonly ToldPath[] {
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
      const what = `the path is not checked, for no function of the host is ${
        functionWords(driver.name)
      }`;
      const [from, to] = [`importer ${importer.name},`, device.address];
      const at = placeOf(grant);
      return [{ code: "BG2205", at, from, importer: grant.importerName, to, what }];
    }
    return pathsToTell(functions.from(exporter), grant);
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
function pathsToTell(
  judgements: readonly JudgedClass[],
  grant: PlacedGrant,
): readonly ToldPath[] {
  const tell = (code: HostCode, wanted: PathJudgement["kind"]): ToldPath[] => {
    const told = judgements.filter(({ judgement }) => judgement.kind === wanted);
    const nearest = told[0]?.judgement;
    if (nearest === undefined) return [];
    const count = told.reduce((sum, each) => sum + each.count, 0);
    const which = count === 1 ? "" : ` of ${nearest.importer}`;
    const price = priceOf(nearest);
    const fix = price === undefined ? pathRemedy(nearest) : undefined;
    return [{
      code,
      at: placeOf(grant),
      from: `importer ${grant.importer.name}, ${someOf(nearestOf(told), count)}`,
      importer: grant.importerName,
      to: nearest.exporter,
      what: `the path${which} is ${pathText(nearest)}${price ?? ""}`,
      ...(fix === undefined ? {} : { fix }),
    }];
  };
  const never = judgements.every(({ judgement }) => judgement.kind === "not-supported");
  return [
    ...tell(never ? "BG2202" : "BG2203", "not-supported"),
    ...tell("BG2204", "through-host-bridge"),
    ...tell("BG2205", "not-known"),
  ];
}

/** A direct path is not better by itself: what else it would cost is for people to weigh. */
function priceOf({ kind, redirecting }: PathJudgement): string | undefined {
  if (kind !== "through-host-bridge" || redirecting.length === 0) return undefined;
  const ports = redirecting.map(({ address }) => address);
  return `. A direct one has its price: ${letThrough(ports)}`;
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

function found(
  code: HostCode,
  at: Span,
  message: string,
  fix?: string,
  related: readonly Related[] = [],
): Finding {
  const finding = hostFinding(code, at, message, related);
  return fix === undefined ? finding : { ...finding, diagnostic: { ...finding.diagnostic, fix } };
}
