/**
 * sysfs of a simulated host, as far as a snapshot tells of it: what `readSnapshot` reads, and the files
 * by which others can reset, change or take away a device. Elsewhere files are the real host's, for
 * programs and their folders are.
 *
 * @module
 */
import { isPciAddress } from "../host/address.ts";
import { type Files, FilesError, type FileStatus } from "../host/files.ts";
import type {
  HostSnapshot,
  LeftOutFunction,
  NamedDevice,
  NodeAccess,
  SnapshotBar,
  SnapshotCpu,
  SnapshotFunction,
} from "../host/snapshot.ts";
import { isSimulatedPath } from "./simulated_path.ts";

/** Bytes of a file, the text of a link, or the names in a folder. */
type Entry =
  | { readonly bytes: Uint8Array }
  | { readonly link: string }
  | { readonly names: Set<string> };

const PCI = "/sys/bus/pci";
/** Class of PCI bridges. */
const BRIDGE = "0604";
const DEFAULT_LIMIT = 64 * 1024;
/** A longer way is a loop. */
const MOST_LINKS = 40;
/** Lines of `resource`: BARs, ROM, and those of virtual functions. */
const RESOURCES = 13;
/** Bits of `struct resource` flags (include/linux/ioport.h). */
const IORESOURCE = { io: 0x100n, memory32: 0x200n, memory64: 0x100200n, prefetch: 0x2000n };

/** Files of a simulated host. */
export class SnapshotFiles implements Files {
  readonly #entries = new Map<string, Entry>();
  /** Of device nodes, by path. */
  readonly #access = new Map<string, NodeAccess>();

  /**
   * @param snapshot of the simulated host
   * @param real files of the machine that the simulation runs on
   */
  constructor(snapshot: HostSnapshot, private readonly real: Files) {
    for (const root of ["/sys", "/proc", "/dev", `${PCI}/devices`]) this.#folder(root);
    const at = new Map(snapshot.functions.map((fn) => [fn.address, fn]));
    for (const fn of snapshot.functions) this.#addFunction(fn, folderOf(fn, at));
    for (const each of snapshot.leftOut ?? []) this.#addLeftOut(each);
    for (const kind of snapshot.iommu) this.#folder(`/sys/class/iommu/${kind}`);
    const { rdma = [], drm = [], nvme = [] } = snapshot;
    for (const device of rdma) this.#addNamed("infiniband", device);
    for (const device of drm) this.#addNamed("drm", device);
    for (const device of nvme) this.#addNamed("nvme", device);
    if (snapshot.cpu !== undefined) this.#file("/proc/cpuinfo", cpuText(snapshot.cpu));
  }

  read(path: string, limit = DEFAULT_LIMIT): Uint8Array {
    if (!isSimulatedPath(path)) return this.real.read(path, limit);
    const entry = this.#entryAt(this.realPath(path));
    if (!("bytes" in entry)) throw failure("read", path, "other", "it is a folder");
    return entry.bytes.slice(0, limit);
  }

  readText(path: string, limit = DEFAULT_LIMIT): string {
    return new TextDecoder().decode(this.read(path, limit)).replace(/\n$/, "");
  }

  list(path: string): string[] {
    if (!isSimulatedPath(path)) return this.real.list(path);
    const entry = this.#entryAt(this.realPath(path));
    if (!("names" in entry)) throw failure("list", path, "other", "it is no folder");
    return [...entry.names].sort();
  }

  readLink(path: string): string {
    if (!isSimulatedPath(path)) return this.real.readLink(path);
    const cut = path.lastIndexOf("/");
    const entry = this.#entryAt(`${this.realPath(path.slice(0, cut))}${path.slice(cut)}`);
    if (!("link" in entry)) throw failure("read the link", path, "other", "it is no link");
    return entry.link;
  }

  realPath(path: string): string {
    if (!isSimulatedPath(path)) return this.real.realPath(path);
    let rest = path.split("/").slice(1);
    let done: string[] = [];
    for (let links = 0; rest.length > 0;) {
      const [name = "", ...others] = rest;
      rest = others;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        done.pop();
        continue;
      }
      const here = `/${[...done, name].join("/")}`;
      const entry = this.#entryAt(here, path);
      if (!("link" in entry)) done.push(name);
      else if (++links > MOST_LINKS) throw failure("resolve", path, "other", "its links loop");
      else {
        rest = [...entry.link.split("/"), ...rest];
        if (entry.link.startsWith("/")) done = [];
      }
    }
    return `/${done.join("/")}`;
  }

  exists(path: string): boolean {
    if (!isSimulatedPath(path)) return this.real.exists(path);
    try {
      this.realPath(path);
      return true;
    } catch (error) {
      if (error instanceof FilesError) return false;
      throw error;
    }
  }

  status(path: string): FileStatus {
    if (!isSimulatedPath(path)) return this.real.status(path);
    const access = this.#access.get(path);
    if (access === undefined) throw failure("look at", path, "absent", "nothing is known of it");
    return { uid: access.uid, gid: access.gid, permissions: parseInt(access.mode, 8) };
  }

  #addNamed(kind: string, { name, function: address }: NamedDevice): void {
    const above = address === undefined
      ? "/sys/devices/virtual"
      : this.realPath(`${PCI}/devices/${address}`);
    this.#folder(`${above}/${kind}/${name}`);
    if (address !== undefined) this.#link(`${above}/${kind}/${name}/device`, above);
    this.#link(`/sys/class/${kind}/${name}`, `${above}/${kind}/${name}`);
  }

  /** There, and without the files that every function has: as little can be read of it as there was. */
  #addLeftOut({ address, iommuGroup, iommuGroupIs }: LeftOutFunction): void {
    const known = this.#entries.get(`${PCI}/devices/${address}`);
    const bus = address.slice(0, address.lastIndexOf(":"));
    const folder = known !== undefined && "link" in known
      ? known.link
      : `/sys/devices/pci${bus}/${address}`;
    this.#folder(folder);
    if (known === undefined) this.#link(`${PCI}/devices/${address}`, folder);
    if (iommuGroup === undefined) {
      const isUnknown = known === undefined && iommuGroupIs === undefined;
      if (isUnknown) this.#link(`${folder}/iommu_group`, "/sys/kernel/iommu_groups/unknown");
      return;
    }
    const group = `/sys/kernel/iommu_groups/${iommuGroup}`;
    this.#link(`${group}/devices/${address}`, folder);
    if (known === undefined) this.#link(`${folder}/iommu_group`, group);
  }

  #addFunction(fn: SnapshotFunction, folder: string): void {
    this.#link(`${PCI}/devices/${fn.address}`, folder);
    this.#file(`${folder}/vendor`, `0x${fn.vendor}\n`);
    this.#file(`${folder}/device`, `0x${fn.device}\n`);
    this.#file(`${folder}/class`, `0x${fn.class}\n`);
    this.#file(`${folder}/config`, fn.config);
    this.#file(`${folder}/resource`, resourceText(fn.bars));
    this.#file(`${folder}/numa_node`, `${fn.numaNode ?? -1}\n`);
    this.#file(`${folder}/remove`, "");
    this.#file(`${folder}/driver_override`, `${fn.driverOverride ?? "(null)"}\n`);
    if (fn.sriov !== undefined) {
      this.#file(`${folder}/sriov_totalvfs`, `${fn.sriov.total}\n`);
      this.#file(`${folder}/sriov_numvfs`, `${fn.sriov.enabled}\n`);
    }
    if (fn.cdev !== undefined && fn.cdevAccess !== undefined) {
      this.#access.set(fn.cdev, fn.cdevAccess);
    }
    if (fn.groupNode !== undefined && fn.groupAccess !== undefined) {
      this.#access.set(fn.groupNode, fn.groupAccess);
    }
    // The name of such a node is known from the node only.
    const isSeen = fn.groupAccess !== undefined || fn.groupNode?.includes("/noiommu-") === true;
    if (fn.groupNode !== undefined && isSeen) this.#file(fn.groupNode, "");
    if (fn.class.startsWith(BRIDGE)) this.#file(`${folder}/reset_subordinate`, "");
    if (fn.driver !== undefined) {
      this.#file(`${PCI}/drivers/${fn.driver}/unbind`, "");
      this.#link(`${folder}/driver`, `${PCI}/drivers/${fn.driver}`);
    }
    if (fn.iommuGroup !== undefined) {
      const group = `/sys/kernel/iommu_groups/${fn.iommuGroup}`;
      this.#link(`${group}/devices/${fn.address}`, folder);
      this.#link(`${folder}/iommu_group`, group);
    }
    if (fn.physfn !== undefined) this.#link(`${folder}/physfn`, `${PCI}/devices/${fn.physfn}`);
    if (fn.resetMethods.length > 0) {
      this.#file(`${folder}/reset_method`, `${fn.resetMethods.join(" ")}\n`);
      this.#file(`${folder}/reset`, "");
    }
    if (fn.powerState !== undefined) this.#file(`${folder}/power_state`, `${fn.powerState}\n`);
    if (fn.runtimeStatus !== undefined) {
      this.#file(`${folder}/power/runtime_status`, `${fn.runtimeStatus}\n`);
    }
    const cdev = fn.cdev?.split("/").at(-1);
    if (cdev !== undefined) this.#file(`${folder}/vfio-dev/${cdev}/dev`, "0:0\n");
    if (fn.slot !== undefined) {
      this.#file(`${PCI}/slots/${fn.slot}/address`, `${fn.address.replace(/\.[0-7]$/, "")}\n`);
      this.#file(`${PCI}/slots/${fn.slot}/power`, "1\n");
    }
  }

  #file(path: string, content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    this.#put(path, { bytes });
  }

  #link(path: string, link: string): void {
    this.#put(path, { link });
  }

  #folder(path: string): void {
    if (path === "" || this.#entries.has(path)) return;
    this.#put(path, { names: new Set() });
  }

  #put(path: string, entry: Entry): void {
    const cut = path.lastIndexOf("/");
    const folder = path.slice(0, cut);
    this.#folder(folder);
    const above = this.#entries.get(folder);
    if (above !== undefined && "names" in above) above.names.add(path.slice(cut + 1));
    this.#entries.set(path, entry);
  }

  #entryAt(path: string, asked = path): Entry {
    const entry = this.#entries.get(path);
    if (entry === undefined) throw failure("find", asked, "absent", "there is no such file");
    return entry;
  }
}

/** Where a function lies below the bridges above it; a bridge that is not known is taken for the root. */
function folderOf(fn: SnapshotFunction, at: ReadonlyMap<string, SnapshotFunction>): string {
  const names = [fn.address];
  for (let parent = fn.parent; parent !== "" && !names.includes(parent);) {
    names.unshift(parent);
    parent = isPciAddress(parent) ? at.get(parent)?.parent ?? "" : "";
  }
  return `/sys/devices/${names.join("/")}`;
}

/** The lines that tell what an x86 processor is; others have none of these. */
function cpuText({ vendor, family }: SnapshotCpu): string {
  const head = "processor\t: 0\n";
  return vendor === undefined || family === undefined
    ? head
    : `${head}vendor_id\t: ${vendor}\ncpu family\t: ${family}\n`;
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

function failure(
  what: string,
  path: string,
  reason: FilesError["reason"],
  why: string,
): FilesError {
  return new FilesError(path, reason, `Cannot ${what} ${path} of the simulated host: ${why}`);
}
