/**
 * The tree of files of a simulated host, as far as a snapshot tells of it. Making it takes time and
 * memory linear in the number of functions, and so does looking at each of them once.
 *
 * @module
 */
import type {
  HostSnapshot,
  LeftOutFunction,
  NamedDevice,
  SnapshotCpu,
  SnapshotFunction,
} from "../host/snapshot.ts";
import {
  FixedFolder,
  type Listed,
  ListFolder,
  type TreeEntry,
  TreeFile,
  TreeFolder,
  TreeLink,
} from "./folder_tree.ts";
import {
  type Content,
  FunctionFolder,
  type FunctionTree,
  GROUPS,
  type NamedOfKind,
} from "./function_folder.ts";

const NODES = "/dev/vfio/";
/** Slots are of devices, whose addresses have no function number. */
const FUNCTION_NUMBER = /\.[0-7]$/;
/** Where devices are that are behind no function. */
const VIRTUAL = "virtual";

/**
 * Makes the tree.
 *
 * @param snapshot of the host
 * @returns its root
 */
export function sysfsTree(snapshot: HostSnapshot): TreeFolder {
  return new SysfsTree(snapshot).root;
}

class SysfsTree implements FunctionTree {
  readonly root = new FixedFolder(undefined, "");
  readonly #byAddress: ReadonlyMap<string, SnapshotFunction>;
  /** Functions that are not there otherwise. */
  readonly #leftOut: ReadonlyMap<string, LeftOutFunction>;
  readonly #buses: TreeFolder;
  readonly #virtual: FixedFolder;
  readonly #below = once(() => addressesBy(this.host.functions, ({ parent }) => parent));
  readonly #lost = once(() => {
    return addressesBy([...this.#leftOut.values()], ({ address }) => rootBusOf(address));
  });
  readonly #named = once(() =>
    Map.groupBy(namedDevices(this.host), ({ device }) => device.function)
  );
  #last: { readonly fn: SnapshotFunction; readonly content: Content } | undefined;

  constructor(private readonly host: HostSnapshot) {
    const { functions, leftOut = [], cpu, iommu } = host;
    this.#byAddress = new Map(functions.map((fn) => [fn.address, fn]));
    this.#leftOut = new Map(
      leftOut.filter(({ address }) => !this.#byAddress.has(address))
        .map((each) => [each.address, each]),
    );
    const proc = this.root.folder("proc");
    if (cpu !== undefined) proc.put("cpuinfo", new TreeFile(() => cpuText(cpu)));
    const sys = this.root.folder("sys");
    this.#buses = sys.put("devices", new ListFolder(sys, "devices", this.#rootBuses()));
    this.#virtual = new FixedFolder(this.#buses, VIRTUAL);
    this.#putPci(sys.folder("bus").folder("pci"));
    const kernel = sys.folder("kernel");
    kernel.put("iommu_groups", new ListFolder(kernel, "iommu_groups", this.#groups()));
    for (const kind of iommu) sys.folder("class").folder("iommu").folder(kind);
    this.#putNames(sys.folder("class"));
    this.#putNodes(this.root.folder("dev"));
  }

  folderAbove({ parent }: SnapshotFunction): TreeFolder {
    const bridge = this.#byAddress.get(parent);
    // A bridge that is not known is taken for the root.
    return bridge === undefined ? this.#busFolder(parent) : new FunctionFolder(this, bridge);
  }

  below(bridge: string): ReadonlyMap<string, SnapshotFunction> | undefined {
    return this.#below().get(bridge);
  }

  namesOf(address: string): readonly NamedOfKind[] {
    return this.#named().get(address) ?? [];
  }

  contentOf(fn: SnapshotFunction, make: () => Content): Content {
    if (this.#last?.fn !== fn) this.#last = { fn, content: make() };
    return this.#last.content;
  }

  #rootBuses(): Listed {
    const names = once(() => {
      const roots = [...this.#below().keys()].filter((parent) => !this.#byAddress.has(parent));
      return new Set([...roots, ...this.#lost().keys(), VIRTUAL]);
    });
    return {
      names,
      entry: (name) => {
        if (name === VIRTUAL) return this.#virtual;
        return names().has(name) ? this.#busFolder(name) : undefined;
      },
    };
  }

  #busFolder(name: string): TreeFolder {
    const below = () => this.#below().get(name) ?? new Map<string, SnapshotFunction>();
    const lost = () => this.#lost().get(name) ?? new Map<string, LeftOutFunction>();
    return new ListFolder(this.#buses, name, {
      names: () => [...below().keys(), ...lost().keys()],
      entry: (address) => {
        return below().has(address) || lost().has(address) ? this.#folderOf(address) : undefined;
      },
    });
  }

  /** Of a function that is there, or was left out. */
  #folderOf(address: string): TreeFolder | undefined {
    const fn = this.#byAddress.get(address);
    if (fn !== undefined) return new FunctionFolder(this, fn);
    const leftOut = this.#leftOut.get(address);
    return leftOut === undefined ? undefined : this.#leftOutFolder(leftOut);
  }

  /** There, and without the files that every function has: as little can be read of it as there was. */
  #leftOutFolder({ address, iommuGroup, iommuGroupIs }: LeftOutFunction): TreeFolder {
    const folder = new FixedFolder(this.#busFolder(rootBusOf(address)), address);
    const group = iommuGroup ?? (iommuGroupIs === undefined ? "unknown" : undefined);
    if (group !== undefined) folder.put("iommu_group", new TreeLink(`${GROUPS}/${group}`));
    return folder;
  }

  #linkTo(address: string): TreeEntry | undefined {
    const folder = this.#folderOf(address);
    return folder === undefined ? undefined : new TreeLink(folder);
  }

  #putPci(pci: FixedFolder): void {
    const { functions } = this.host;
    pci.put(
      "devices",
      new ListFolder(pci, "devices", {
        names: () => [...this.#byAddress.keys(), ...this.#leftOut.keys()],
        entry: (address) => this.#linkTo(address),
      }),
    );
    const drivers = once(() => new Set(functions.flatMap(({ driver }) => driver ?? [])));
    if (functions.some(({ driver }) => driver !== undefined)) {
      pci.put(
        "drivers",
        new ListFolder(pci, "drivers", { names: drivers, entry: driverIn(drivers) }),
      );
    }
    const slots = once(() => {
      return new Map(functions.map(({ slot, address }) => [slot ?? "", address]));
    });
    if (functions.some(({ slot }) => slot !== undefined)) {
      const names = () => [...slots().keys()].filter((name) => name !== "");
      pci.put("slots", new ListFolder(pci, "slots", { names, entry: slotIn(slots) }));
    }
  }

  #groups(): Listed {
    const groups = once(() => {
      const members = [...this.host.functions, ...this.host.leftOut ?? []];
      return addressesBy<Member>(members, ({ iommuGroup }) => `${iommuGroup ?? ""}`);
    });
    return {
      names: () => [...groups().keys()].filter((name) => name !== ""),
      entry: (name, folder) => {
        const members = name === "" ? undefined : groups().get(name);
        if (members === undefined) return undefined;
        const group = new FixedFolder(folder, name);
        const entry = (address: string) => {
          return members.has(address) ? this.#linkTo(address) : undefined;
        };
        const listed = { names: () => members.keys(), entry };
        group.put("devices", new ListFolder(group, "devices", listed));
        return group;
      },
    };
  }

  /** Links by kind. What is behind no function is in a folder of its own. */
  #putNames(classes: FixedFolder): void {
    for (const [kind, devices] of Map.groupBy(namedDevices(this.host), ({ kind }) => kind)) {
      const byName = once(() => new Map(devices.map(({ device }) => [device.name, device])));
      classes.put(
        kind,
        new ListFolder(classes, kind, {
          names: () => byName().keys(),
          entry: (name) => {
            const device = byName().get(name);
            return device === undefined ? undefined : this.#linkToNamed(kind, device);
          },
        }),
      );
    }
  }

  #linkToNamed(kind: string, { name, function: address }: NamedDevice): TreeEntry | undefined {
    if (address === undefined) return new TreeLink(this.#virtual.folder(kind).folder(name));
    const kinds = this.#folderOf(address)?.child(kind);
    const folder = kinds instanceof TreeFolder ? kinds.child(name) : undefined;
    return folder instanceof TreeFolder ? new TreeLink(folder) : undefined;
  }

  /** Nodes that are known to be there. */
  #putNodes(dev: FixedFolder): void {
    const seen = this.host.functions.filter(isNodeSeen);
    if (seen.length === 0) return;
    const names = new Set(seen.map(({ groupNode = "" }) => groupNode.slice(NODES.length)));
    const entry = (name: string) => names.has(name) ? new TreeFile(() => "") : undefined;
    dev.put("vfio", new ListFolder(dev, "vfio", { names: () => names, entry }));
  }
}

type Member = Pick<SnapshotFunction, "address" | "iommuGroup">;

/** The name of a node without IOMMU is known from the node only. */
function isNodeSeen({ groupNode, groupAccess }: SnapshotFunction): boolean {
  if (groupNode?.startsWith(NODES) !== true) return false;
  return groupAccess !== undefined || groupNode.includes("/noiommu-");
}

function driverIn(drivers: () => ReadonlySet<string>): Listed["entry"] {
  return (name, above) => {
    if (!drivers().has(name)) return undefined;
    const folder = new FixedFolder(above, name);
    folder.put("unbind", new TreeFile(() => ""));
    return folder;
  };
}

function slotIn(slots: () => ReadonlyMap<string, string>): Listed["entry"] {
  return (name, above) => {
    const address = name === "" ? undefined : slots().get(name);
    if (address === undefined) return undefined;
    const folder = new FixedFolder(above, name);
    folder.put("address", new TreeFile(() => `${address.replace(FUNCTION_NUMBER, "")}\n`));
    folder.put("power", new TreeFile(() => "1\n"));
    return folder;
  };
}

function namedDevices({ rdma = [], drm = [], nvme = [] }: HostSnapshot): readonly NamedOfKind[] {
  const kinds = [["infiniband", rdma], ["drm", drm], ["nvme", nvme]] as const;
  return kinds.flatMap(([kind, devices]) => devices.map((device) => ({ kind, device })));
}

function rootBusOf(address: string): string {
  return `pci${address.slice(0, address.lastIndexOf(":"))}`;
}

/** Things by a key, and among those of one key by their address. */
function addressesBy<T extends Pick<SnapshotFunction, "address">>(
  things: readonly T[],
  keyOf: (thing: T) => string,
): ReadonlyMap<string, ReadonlyMap<string, T>> {
  const found = new Map<string, Map<string, T>>();
  for (const thing of things) {
    const key = keyOf(thing);
    const known = found.get(key);
    if (known === undefined) found.set(key, new Map([[thing.address, thing]]));
    else known.set(thing.address, thing);
  }
  return found;
}

/** Made when it is first asked for. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** The lines that tell what an x86 processor is; others have none of these. */
function cpuText({ vendor, family }: SnapshotCpu): string {
  const head = "processor\t: 0\n";
  return vendor === undefined || family === undefined
    ? head
    : `${head}vendor_id\t: ${vendor}\ncpu family\t: ${family}\n`;
}
