/**
 * Which functions of the host do the importers' DMA, and what is wrong with what policies declare of
 * them.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { HostCode } from "../policy/host_codes.ts";
import type { ImporterRule } from "../policy/model.ts";
import type { AddFinding } from "./host_findings.ts";
import { type ImporterFunction, ImporterFunctions } from "./importer_device.ts";
import { idOf } from "./match_fields.ts";
import type { FunctionIndex } from "./resolve.ts";

/** Finds importers' functions, and tells why there are none. */
export class ImporterFinder {
  readonly #functions = new Map<ImporterRule, { readonly entry: SnapshotFunction | undefined }>();

  readonly #host: ImporterFunctions;

  /**
   * @param host what is there
   * @param index of its functions
   * @param add takes what is found
   */
  constructor(host: HostSnapshot, index: FunctionIndex, private readonly add: AddFinding) {
    this.#host = new ImporterFunctions(host, index);
  }

  /**
   * Each importer's declaration is held against the host once, however many rules name it.
   *
   * @param importer of a policy
   * @returns undefined if nothing is declared, or something is wrong with it
   */
  functionOf(importer: ImporterRule): SnapshotFunction | undefined {
    const known = this.#functions.get(importer);
    if (known !== undefined) return known.entry;
    const entry = this.#findFunction(importer);
    this.#functions.set(importer, { entry });
    return entry;
  }

  #findFunction(importer: ImporterRule): SnapshotFunction | undefined {
    const found = this.#host.of(importer);
    if (found === undefined || found.is === "found") return found?.entry;
    const [code, why] = notFound(found);
    this.add(code, importer.device?.at, `the device of importer ${importer.name} ${why}`);
    return undefined;
  }
}

function notFound(found: Exclude<ImporterFunction, { is: "found" }>): [HostCode, string] {
  switch (found.is) {
    case "none":
      return ["BG2017", `is no PCI function of the host: ${found.why}`];
    case "several":
      return ["BG2018", `is ${found.entries.length} PCI functions of the host`];
    case "unknown":
      return [
        "BG2020",
        `has a name (${found.field}) that cannot be looked up: the inventory says nothing of such names`,
      ];
    case "other-driver": {
      const { entry, wanted } = found;
      return [
        "BG2019",
        `is ${entry.address} (${idOf(entry)}), bound to ${
          entry.driver ?? "no driver"
        }, and not ${wanted}`,
      ];
    }
  }
}
