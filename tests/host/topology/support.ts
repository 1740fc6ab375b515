/** Small hosts for tests of the topology. @module */
import { PciTree } from "../../../host/topology/tree.ts";
import type { HostSnapshot, SnapshotFunction } from "../../../host/snapshot.ts";

/** What matters of a function. */
export interface Spec {
  readonly address: string;
  readonly parent: string;
  /** `vvvv:dddd` */
  readonly id?: string;
  /** Control register of Access Control Services; absent: there is none. */
  readonly acs?: number;
  /** Device/port type of its PCI Express capability. */
  readonly type?: number;
  readonly physfn?: string;
  readonly driver?: string;
  readonly group?: number;
  /** Bytes of configuration space that could be read. */
  readonly read?: number;
}

/** Device/port type of a root port. */
export const ROOT_PORT = 4;
/** Request redirect. */
export const REDIRECT = 0x04;

/** A function of a host. */
export function functionOf(spec: Spec): SnapshotFunction {
  const [vendor = "", device = ""] = (spec.id ?? "1234:5678").split(":");
  return {
    address: spec.address,
    vendor,
    device,
    class: "000000",
    ...(spec.driver === undefined ? {} : { driver: spec.driver }),
    ...(spec.group === undefined ? {} : { iommuGroup: spec.group }),
    ...(spec.physfn === undefined ? {} : { physfn: spec.physfn }),
    parent: spec.parent,
    resetMethods: [],
    config: configOf(spec),
    bars: [],
    unreadable: [],
  };
}

function configOf({ acs, type, read = 4096 }: Spec): Uint8Array {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  if (type !== undefined) {
    view.setUint16(0x06, 0x10, true);
    view.setUint8(0x34, 0x40);
    view.setUint8(0x40, 0x10);
    view.setUint16(0x42, 0x2 | (type << 4), true);
  }
  // Something else comes first, as it mostly does.
  view.setUint32(0x100, 0x0001_0001 | (acs === undefined ? 0 : 0x148 << 20), true);
  if (acs !== undefined) {
    view.setUint32(0x148, 0x0001_000d, true);
    view.setUint16(0x148 + 6, acs, true);
  }
  return config.subarray(0, read);
}

/** A host of these functions, on Linux 7.3.4 and an Intel processor unless it says otherwise. */
export function hostOf(specs: readonly Spec[], more: Partial<HostSnapshot> = {}): HostSnapshot {
  return {
    kernel: { release: "7.3.4" },
    cpu: { vendor: "GenuineIntel", family: 6 },
    pageSize: 4096,
    iommu: ["dmar0"],
    functions: specs.map(functionOf).sort((a, b) => a.address < b.address ? -1 : 1),
    ...more,
  };
}

/** The same as a tree, and its functions by address. */
export function treeOf(host: HostSnapshot) {
  const tree = new PciTree(host);
  return {
    tree,
    at(address: string): SnapshotFunction {
      const found = tree.at(address);
      if (found === undefined) throw new Error(`no ${address}`);
      return found;
    },
  };
}
