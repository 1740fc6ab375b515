/**
 * The folder of one function in sysfs of a simulated host.
 *
 * @module
 */
import type { NamedDevice, SnapshotBar, SnapshotFunction } from "../host/snapshot.ts";
import { FixedFolder, type TreeEntry, TreeFile, TreeFolder, TreeLink } from "./folder_tree.ts";

/** Where everything about PCI is. */
export const PCI = "/sys/bus/pci";
/** Where IOMMU groups are. */
export const GROUPS = "/sys/kernel/iommu_groups";
/** Class of PCI bridges. */
const BRIDGE = "0604";
/** Lines of `resource`: BARs, ROM, and those of virtual functions. */
const RESOURCES = 13;
/** Bits of `struct resource` flags (include/linux/ioport.h). */
const IORESOURCE = { io: 0x100n, memory32: 0x200n, memory64: 0x100200n, prefetch: 0x2000n };

/** What a folder must know of the other functions. */
export interface FunctionTree {
  /** @returns the folder that a function lies in: that of the bridge above, or of a root bus */
  folderAbove(fn: SnapshotFunction): TreeFolder;
  /** @returns functions below a bridge, by address */
  below(bridge: string): ReadonlyMap<string, SnapshotFunction> | undefined;
  /** @returns the devices that the kernel has a name for, of a function */
  namesOf(address: string): readonly NamedOfKind[];
  /** Keeps what is made for one function, until another is looked at. */
  contentOf(fn: SnapshotFunction, make: () => Content): Content;
}

/** A named device of a kind as `/sys/class` has them. */
export interface NamedOfKind {
  readonly kind: string;
  readonly device: NamedDevice;
}

/** Entries by name. */
export type Content = ReadonlyMap<string, TreeEntry>;

/** The folder of a function. */
export class FunctionFolder extends TreeFolder {
  /**
   * @param tree of the host
   * @param fn the function
   */
  constructor(private readonly tree: FunctionTree, private readonly fn: SnapshotFunction) {
    super();
  }

  override get name(): string {
    return this.fn.address;
  }

  override get above(): TreeFolder {
    return this.tree.folderAbove(this.fn);
  }

  override names(): Iterable<string> {
    const below = this.tree.below(this.fn.address) ?? new Map();
    return [...this.#content().keys(), ...below.keys()];
  }

  override child(name: string): TreeEntry | undefined {
    const known = this.#content().get(name);
    if (known !== undefined) return known;
    const below = this.tree.below(this.fn.address)?.get(name);
    return below === undefined ? undefined : new FunctionFolder(this.tree, below);
  }

  #content(): Content {
    return this.tree.contentOf(this.fn, () => {
      const content = contentOf(this.fn, this);
      for (const [kind, devices] of Map.groupBy(this.tree.namesOf(this.fn.address), kindOf)) {
        const folder = new FixedFolder(this, kind);
        for (const { device } of devices) {
          folder.folder(device.name).put("device", new TreeLink(this));
        }
        content.set(kind, folder);
      }
      return content;
    });
  }
}

function kindOf({ kind }: NamedOfKind): string {
  return kind;
}

function contentOf(fn: SnapshotFunction, own: TreeFolder): Map<string, TreeEntry> {
  const entries = new Map<string, TreeEntry>();
  const file = (name: string, content: string | Uint8Array = "") =>
    entries.set(name, new TreeFile(() => content));
  const link = (name: string, target: string) => entries.set(name, new TreeLink(target));
  file("vendor", `0x${fn.vendor}\n`);
  file("device", `0x${fn.device}\n`);
  file("class", `0x${fn.class}\n`);
  file("config", fn.config);
  entries.set("resource", new TreeFile(() => resourceText(fn.bars)));
  file("numa_node", `${fn.numaNode ?? -1}\n`);
  file("remove");
  file("driver_override", `${fn.driverOverride ?? "(null)"}\n`);
  if (fn.sriov !== undefined) {
    file("sriov_totalvfs", `${fn.sriov.total}\n`);
    file("sriov_numvfs", `${fn.sriov.enabled}\n`);
  }
  if (fn.class.startsWith(BRIDGE)) file("reset_subordinate");
  if (fn.driver !== undefined) link("driver", `${PCI}/drivers/${fn.driver}`);
  if (fn.iommuGroup !== undefined) link("iommu_group", `${GROUPS}/${fn.iommuGroup}`);
  if (fn.physfn !== undefined) link("physfn", `${PCI}/devices/${fn.physfn}`);
  if (fn.resetMethods.length > 0) {
    file("reset_method", `${fn.resetMethods.join(" ")}\n`);
    file("reset");
  }
  if (fn.powerState !== undefined) file("power_state", `${fn.powerState}\n`);
  if (fn.runtimeStatus !== undefined) {
    const power = new FixedFolder(own, "power");
    power.put("runtime_status", new TreeFile(() => `${fn.runtimeStatus}\n`));
    entries.set("power", power);
  }
  const cdev = fn.cdev?.split("/").at(-1);
  if (cdev !== undefined) {
    const nodes = new FixedFolder(own, "vfio-dev");
    nodes.folder(cdev).put("dev", new TreeFile(() => "0:0\n"));
    entries.set("vfio-dev", nodes);
  }
  return entries;
}

/** `start end flags`, a line for each resource. */
function resourceText(bars: readonly SnapshotBar[]): string {
  const lines = Array.from({ length: RESOURCES }, (_, index) => {
    const bar = bars.find((it) => it.index === index);
    if (bar === undefined) return [0n, 0n, 0n];
    const prefetch = bar.prefetchable ? IORESOURCE.prefetch : 0n;
    return [bar.start, bar.start + bar.size - 1n, IORESOURCE[bar.kind] | prefetch];
  });
  const hex = (value: bigint) => `0x${value.toString(16).padStart(16, "0")}`;
  return lines.map((line) => `${line.map(hex).join(" ")}\n`).join("");
}
