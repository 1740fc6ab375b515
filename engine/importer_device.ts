/**
 * Which PCI function of a host will do an importer's DMA, as its policy declares it. Nothing enforces
 * the declaration where the importer maps itself; it is held against the host before, and the
 * topology between the two functions is judged by it.
 *
 * @module
 */
import type { HostSnapshot, NamedDevice, SnapshotFunction } from "../host/snapshot.ts";
import type { ImporterDevice, ImporterRule } from "../policy/model.ts";
import { functionWords, isOfDriver } from "./importer_functions.ts";
import { idOf } from "./match_fields.ts";
import { FunctionIndex } from "./resolve.ts";

/** The function, or why there is not exactly one. */
export type ImporterFunction =
  | { readonly is: "found"; readonly entry: SnapshotFunction }
  | { readonly is: "none"; readonly why: string }
  | { readonly is: "several"; readonly entries: readonly SnapshotFunction[] }
  /** The host was not asked for names of this class. */
  | { readonly is: "unknown"; readonly field: NameClass }
  | {
    readonly is: "other-driver";
    readonly entry: SnapshotFunction;
    /** What would do, in words. */
    readonly wanted: string;
  };

/** Classes of the kernel that name devices. */
export type NameClass = "rdma" | "drm" | "nvme";

const CLASSES: readonly NameClass[] = ["rdma", "drm", "nvme"];

/** Functions of one host, ready to be asked for by what importers declare. */
export class ImporterFunctions {
  readonly #named: ReadonlyMap<NameClass, ReadonlyMap<string, readonly NamedDevice[]>>;

  /**
   * @param host what is there
   * @param index of its functions
   *
   * @example
   * ```ts
   * import { ImporterFunctions } from "./importer_device.ts";
   *
   * const at = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
   * const importer = {
   *   name: "target",
   *   identity: {},
   *   driver: { value: "mlx5", at },
   *   mapping: "importer" as const,
   *   device: { rdma: "mlx5_0", at },
   *   at,
   * };
   * const host = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], rdma: [], functions: [] };
   * if (new ImporterFunctions(host).of(importer)?.is !== "none") throw new Error("wrong");
   * ```
   */
  constructor(
    private readonly host: HostSnapshot,
    private readonly index: FunctionIndex = new FunctionIndex(host),
  ) {
    this.#named = new Map(
      CLASSES.map((field) => [field, Map.groupBy(host[field] ?? [], ({ name }) => name)]),
    );
  }

  /**
   * Finds the function that an importer's `device` declares.
   *
   * @param importer of a checked policy
   * @returns undefined if the policy declares none
   */
  of({ device, driver }: ImporterRule): ImporterFunction | undefined {
    if (device === undefined) return undefined;
    const unknown = CLASSES.find((field) =>
      device[field] !== undefined && this.host[field] === undefined
    );
    if (unknown !== undefined) return { is: "unknown", field: unknown };
    const entries = this.#candidates(device).filter((entry) => this.#holds(device, entry));
    const [entry] = entries;
    if (entry === undefined) return { is: "none", why: this.#whyNone(device) };
    if (entries.length > 1) return { is: "several", entries };
    return isOfDriver(entry, driver.value)
      ? { is: "found", entry }
      : { is: "other-driver", entry, wanted: functionWords(driver.value) };
  }

  #namedSo(field: NameClass, name: string): readonly NamedDevice[] {
    return this.#named.get(field)?.get(name) ?? [];
  }

  /** By what few functions have: a name, an address, and at last an id. */
  #candidates(device: ImporterDevice): readonly SnapshotFunction[] {
    const { address, id, at } = device;
    const field = CLASSES.find((each) => device[each] !== undefined);
    const name = field === undefined ? undefined : device[field];
    if (field === undefined || name === undefined) {
      return this.index.matching({
        ...(address === undefined ? {} : { address: [address] }),
        ...(id === undefined ? {} : { id: [id] }),
        at,
      }).found;
    }
    const addresses = this.#namedSo(field, name).map((named) => named.function);
    return [...new Set(addresses)].flatMap((each) =>
      each === undefined ? [] : this.index.at(each) ?? []
    );
  }

  #holds(device: ImporterDevice, entry: SnapshotFunction): boolean {
    const named = (field: NameClass) => {
      const wanted = device[field];
      return wanted === undefined ||
        this.#namedSo(field, wanted).some((each) => each.function === entry.address);
    };
    return (device.address === undefined || device.address === entry.address) &&
      (device.id === undefined || device.id === idOf(entry)) && CLASSES.every(named);
  }

  /** Each field that is given, with what the host has for it. */
  #whyNone(device: ImporterDevice): string {
    const { address, id, at } = device;
    const facts: string[] = [];
    if (address !== undefined) {
      const there = this.index.at(address);
      facts.push(`${address} is ${there === undefined ? "not there" : idOf(there)}`);
    }
    if (id !== undefined && this.index.matching({ id: [id], at }).found.length === 0) {
      facts.push(`no function is a ${id}`);
    }
    for (const field of CLASSES) {
      const wanted = device[field];
      if (wanted !== undefined) facts.push(this.#nameFact(field, wanted));
    }
    return facts.join("; ");
  }

  #nameFact(field: NameClass, wanted: string): string {
    const [found] = this.#namedSo(field, wanted);
    if (found !== undefined) {
      return `${CLASS_NAMES[field]} device ${wanted} is ${found.function ?? "no PCI function"}`;
    }
    const names = this.host[field] ?? [];
    const others = names.slice(0, 4).map(({ name }) => name).join(", ");
    const there = names.length === 0 ? "it has none" : `it has ${others}`;
    return `no ${CLASS_NAMES[field]} device is named ${wanted}, ${there}${
      names.length > 4 ? ", …" : ""
    }`;
  }
}

const CLASS_NAMES: Readonly<Record<NameClass, string>> = { rdma: "RDMA", drm: "DRM", nvme: "NVMe" };
