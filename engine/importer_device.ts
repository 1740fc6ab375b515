/**
 * Which PCI function of a host will do an importer's DMA, as its policy declares it. Nothing enforces
 * the declaration where the importer maps itself; it is held against the host before, and the
 * topology between the two functions is judged by it.
 *
 * @module
 */
import type { HostSnapshot, NamedDevice, SnapshotFunction } from "../host/snapshot.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import type { ImporterDevice, ImporterRule } from "../policy/model.ts";
import { idOf } from "./resolve.ts";

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
    /** Any of them would do. */
    readonly wanted: readonly string[];
  };

/** Classes of the kernel that name devices. */
export type NameClass = "rdma" | "drm" | "nvme";

const CLASSES: readonly NameClass[] = ["rdma", "drm", "nvme"];

/**
 * Finds the function that an importer's `device` declares.
 *
 * @param importer of a checked policy
 * @param host what is there
 * @returns undefined if the policy declares none
 *
 * @example
 * ```ts
 * import { importerFunction } from "./importer_device.ts";
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
 * if (importerFunction(importer, host)?.is !== "none") throw new Error("wrong");
 * ```
 */
export function importerFunction(
  importer: ImporterRule,
  host: HostSnapshot,
): ImporterFunction | undefined {
  const { device } = importer;
  if (device === undefined) return undefined;
  const unknown = CLASSES.find((field) => device[field] !== undefined && host[field] === undefined);
  if (unknown !== undefined) return { is: "unknown", field: unknown };
  const entries = host.functions.filter((entry) => holds(device, entry, host));
  const [entry] = entries;
  if (entry === undefined) return { is: "none", why: whyNone(device, host) };
  if (entries.length > 1) return { is: "several", entries };
  const wanted = IMPORTER_DRIVERS.get(importer.driver.value)?.functionDrivers ?? [];
  return wanted.some((driver) => isDriver(driver, entry.driver))
    ? { is: "found", entry }
    : { is: "other-driver", entry, wanted };
}

function holds(device: ImporterDevice, entry: SnapshotFunction, host: HostSnapshot): boolean {
  const named = (field: NameClass) => {
    const wanted = device[field];
    return wanted === undefined ||
      (host[field] ?? []).some((named) =>
        named.name === wanted && named.function === entry.address
      );
  };
  return (device.address === undefined || device.address === entry.address) &&
    (device.id === undefined || device.id === idOf(entry)) && CLASSES.every(named);
}

/** Each field that is given, with what the host has for it. */
function whyNone(device: ImporterDevice, host: HostSnapshot): string {
  const facts: string[] = [];
  const at = host.functions.find(({ address }) => address === device.address);
  if (device.address !== undefined) {
    facts.push(`${device.address} is ${at === undefined ? "not there" : idOf(at)}`);
  }
  if (device.id !== undefined && !host.functions.some((entry) => idOf(entry) === device.id)) {
    facts.push(`no function is a ${device.id}`);
  }
  for (const field of CLASSES) {
    const wanted = device[field];
    if (wanted !== undefined) facts.push(nameFact(field, wanted, host[field] ?? []));
  }
  return facts.join("; ");
}

const CLASS_NAMES: Readonly<Record<NameClass, string>> = { rdma: "RDMA", drm: "DRM", nvme: "NVMe" };

function nameFact(field: NameClass, wanted: string, names: readonly NamedDevice[]): string {
  const found = names.find(({ name }) => name === wanted);
  if (found !== undefined) {
    return `${CLASS_NAMES[field]} device ${wanted} is ${found.function ?? "no PCI function"}`;
  }
  const others = names.slice(0, 4).map(({ name }) => name).join(", ");
  const there = names.length === 0 ? "it has none" : `it has ${others}`;
  return `no ${CLASS_NAMES[field]} device is named ${wanted}, ${there}${
    names.length > 4 ? ", …" : ""
  }`;
}

/** Variants of vfio-pci are called after their devices (`mlx5_vfio_pci`). */
function isDriver(wanted: string, driver: string | undefined): boolean {
  if (driver === undefined) return false;
  return driver === wanted || (wanted === "vfio-pci" && /vfio[-_]pci$/.test(driver));
}
