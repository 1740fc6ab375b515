/**
 * What would make an IOMMU group one that VFIO can own. Functions by which the importers of the same
 * plan do their DMA must keep their drivers, or there is nobody left to export to.
 *
 * @module
 */
import type { GroupViability } from "../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { accessControl } from "../host/topology/acs.ts";
import { judgePath } from "../host/topology/judge.ts";
import type { PciTree } from "../host/topology/tree.ts";
import { isolate, MOST_NAMED, someOf } from "../host/topology/words.ts";
import type { ImporterRule } from "../policy/model.ts";
import { functionsOfDriver } from "./importer_functions.ts";

/** An importer, and the function that does its DMA if it declares one and the host has it. */
export interface PlacedImporter {
  readonly importer: Pick<ImporterRule, "driver" | "device">;
  readonly importerFunction?: SnapshotFunction;
}

/** Who holds a group. */
interface Holders {
  /** For an importer's DMA. */
  readonly needed: readonly SnapshotFunction[];
  readonly others: readonly SnapshotFunction[];
}

/** Remedies on one host for one plan. */
export class GroupRemedies {
  readonly #needed: ReadonlySet<string>;
  /** Of each group once, by the list of its holders. */
  readonly #holders = new Map<readonly SnapshotFunction[], Holders>();

  /**
   * @param host what is there
   * @param tree of the same host
   * @param importers of the plan
   */
  constructor(
    host: HostSnapshot,
    private readonly tree: PciTree,
    importers: readonly PlacedImporter[],
  ) {
    const declared = importers.flatMap(({ importerFunction }) => importerFunction ?? []);
    const drivers = new Set(
      importers.filter(({ importer }) => importer.device === undefined)
        .map(({ importer }) => importer.driver.value),
    );
    const any = [...drivers].flatMap((driver) => functionsOfDriver(host, driver));
    this.#needed = new Set([...declared, ...any].map(({ address }) => address));
  }

  /**
   * @param entry whose group it is
   * @param viability of the group, which other drivers hold
   * @returns what to do
   */
  of(entry: SnapshotFunction, viability: GroupViability): string {
    const { needed, others } = this.#holdersOf(viability);
    const strangers = others.filter(({ address }) => address !== entry.address);
    const ports = this.#ports(entry, viability.spoilers(MOST_NAMED));
    const more = viability.spoilerCount > MOST_NAMED ? ", and so for the others" : "";
    const apart = ports.length === 0 ? undefined : `${isolate(ports)}${more}`;
    if (needed.length > 0) {
      const keep = `${addresses(needed)} must keep ${
        needed.length === 1 ? "its driver" : "their drivers"
      }, for importers' DMA`;
      return apart === undefined
        ? `put the device where it has a group of its own; ${keep}`
        : `${apart}; ${keep}`;
    }
    const unbind = `bind ${addresses(strangers)} to vfio-pci or to no driver`;
    return `${unbind}; or ${apart ?? "put the device where it has a group of its own"}`;
  }

  #holdersOf({ holders }: GroupViability): Holders {
    const known = this.#holders.get(holders);
    if (known !== undefined) return known;
    const found = {
      needed: holders.filter(({ address }) => this.#needed.has(address)),
      others: holders.filter(({ address }) => !this.#needed.has(address)),
    };
    this.#holders.set(holders, found);
    return found;
  }

  /** Ports between the device and the others that could redirect, and do not, make one group of all. */
  #ports(entry: SnapshotFunction, spoilers: readonly SnapshotFunction[]): readonly string[] {
    const ports = new Set<string>();
    for (const spoiler of spoilers) {
      const { exporterSide, importerSide } = judgePath(this.tree, entry, spoiler).path;
      for (const each of [...exporterSide.slice(1), ...importerSide.slice(1)]) {
        const control = accessControl(each.config);
        const redirects = this.tree.redirects(each) ?? [];
        if (typeof control === "number" && redirects.length === 0) ports.add(each.address);
      }
    }
    return [...ports].sort();
  }
}

function addresses(entries: readonly SnapshotFunction[]): string {
  return someOf(entries.map(({ address }) => address));
}
