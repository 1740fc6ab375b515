/**
 * iommufd: objects with ids of one sequence, as far as devices and mappings of dma-bufs need them
 * (drivers/iommu/iommufd).
 *
 * @module
 */
import { SimAddressSpace, SimPages } from "./address_space.ts";
import { SimDmaBuf } from "./dma_buf.ts";
import { refusal } from "./errno.ts";
import type { SimFile } from "./file_table.ts";

const MOST = (1n << 64n) - 1n;
const MAP_FILE = "IOMMU_IOAS_MAP_FILE";

/** What a device is to its iommufd. */
interface BoundDevice {
  readonly kind: "device";
}
/** `iommufd_hwpt_paging`. */
interface PageTable {
  readonly kind: "page table";
}

/** An open `/dev/iommu`. */
export class SimIommufd implements SimFile {
  readonly kind = "iommufd";
  references = 0;
  readonly #objects = new Map<number, SimAddressSpace | BoundDevice | PageTable>();
  /** What devices of a group are attached to. */
  #compatible: SimAddressSpace | undefined;

  /** `IOMMU_IOAS_ALLOC`. */
  allocate(): number {
    return this.#add(new SimAddressSpace());
  }

  #add(object: SimAddressSpace | BoundDevice | PageTable): number {
    let id = 1;
    while (this.#objects.has(id)) id++;
    this.#objects.set(id, object);
    return id;
  }

  /** `IOMMU_DESTROY`. */
  destroy(id: number): void {
    const object = this.#objects.get(id);
    if (object === undefined) throw refusal("IOMMU_DESTROY", "ENOENT", "iommufd");
    const used = !(object instanceof SimAddressSpace) || object.pageTable !== undefined;
    if (used) throw refusal("IOMMU_DESTROY", "EBUSY", "iommufd");
    object.clear();
    this.#objects.delete(id);
    if (this.#compatible === object) this.#compatible = undefined;
  }

  /** A device's DMA is this iommufd's from now on. @returns its id */
  bindDevice(): number {
    return this.#add({ kind: "device" });
  }

  unbindDevice(id: number): void {
    this.#objects.delete(id);
  }

  /** @returns the address space, one device more attached to it */
  attach(call: string, id: number): SimAddressSpace {
    const object = this.#objects.get(id);
    if (object === undefined) throw refusal(call, "ENOENT", "iommufd");
    if ("kind" in object && object.kind === "device") throw refusal(call, "EINVAL", "iommufd");
    const space = object instanceof SimAddressSpace ? object : this.#spaceOf(id);
    if (space === undefined) throw refusal(call, "ENOENT", "iommufd");
    if (space.pageTable === undefined) {
      space.checkAttachable(call);
      space.pageTable = { id: this.#add({ kind: "page table" }), devices: 0 };
    }
    space.pageTable.devices++;
    return space;
  }

  #spaceOf(pageTable: number): SimAddressSpace | undefined {
    return this.#spaces().find((space) => space.pageTable?.id === pageTable);
  }

  /** The page table goes with the last device. */
  detach(space: SimAddressSpace): void {
    const { pageTable } = space;
    if (pageTable === undefined || --pageTable.devices > 0) return;
    this.#objects.delete(pageTable.id);
    space.pageTable = undefined;
  }

  /** `VFIO_GROUP_SET_CONTAINER` sees to an address space for the group's devices. */
  ensureCompatible(): void {
    if (this.#compatible !== undefined) return;
    this.#compatible = new SimAddressSpace();
    this.#add(this.#compatible);
  }

  /** `IOMMU_VFIO_IOAS` (SET). */
  setCompatible(id: number): void {
    this.#compatible = this.#space(id, "IOMMU_VFIO_IOAS");
  }

  /** Id of what a group's devices are attached to; absent: there is none. */
  get compatible(): number | undefined {
    return [...this.#objects].find(([, object]) => object === this.#compatible)?.[0];
  }

  /** `IOMMU_IOAS_MAP_FILE`. @param more what is mapped of the file, and how; all and writeable unless given */
  map(
    id: number,
    file: SimFile | undefined,
    length: bigint,
    iova: bigint | undefined,
    more: { readonly start?: bigint; readonly writeable?: boolean } = {},
  ): bigint {
    const { start = 0n, writeable = true } = more;
    if (iova === MOST || length === MOST) throw refusal(MAP_FILE, "EOVERFLOW", "ioas");
    const space = this.#space(id, MAP_FILE);
    if (length === 0n) throw refusal(MAP_FILE, "EINVAL", "ioas");
    if (start + length - 1n > MOST) throw refusal(MAP_FILE, "EOVERFLOW", "ioas");
    if (file === undefined) throw refusal(MAP_FILE, "EBADF", "ioas");
    if (file instanceof SimDmaBuf) importable(file, start + length);
    const pages = new SimPages(file, writeable).share();
    try {
      return space.map(MAP_FILE, [{ pages, start, length }], iova, writeable);
    } finally {
      pages.leave();
    }
  }

  /** `IOMMU_IOAS_COPY`: areas share the import, and outlive the unmap of the original. */
  copy(to: number, from: number, iova: bigint, length: bigint): bigint {
    const call = "IOMMU_IOAS_COPY";
    if (iova === MOST || length === MOST) throw refusal(call, "EOVERFLOW", "ioas");
    const pieces = this.#space(from, call).pieces(call, iova, length);
    return this.#space(to, call).map(call, pieces, undefined, true);
  }

  /** Copies every area of an address space inside it; none where it has gone. */
  copyAll(id: number): void {
    const space = this.#objects.get(id);
    for (const { first, last } of space instanceof SimAddressSpace ? [...space.areas] : []) {
      this.copy(id, id, first, last - first + 1n);
    }
  }

  unmap(id: number, iova: bigint, length: bigint): bigint {
    return this.#space(id, "IOMMU_IOAS_UNMAP").unmap("IOMMU_IOAS_UNMAP", iova, length);
  }

  /** Whether DMA to an IOVA lands in the buffer that was mapped there. */
  lands(id: number, iova: bigint): boolean {
    return this.#space(id, "DMA").lands(iova);
  }

  release(): void {
    for (const space of this.#spaces()) space.clear();
    this.#objects.clear();
  }

  #spaces(): readonly SimAddressSpace[] {
    return [...this.#objects.values()].filter((object) => object instanceof SimAddressSpace);
  }

  #space(id: number, call: string): SimAddressSpace {
    const space = this.#objects.get(id);
    if (!(space instanceof SimAddressSpace)) throw refusal(call, "ENOENT", "ioas");
    return space;
  }
}

/** Size first, then liveness, then the number of ranges. */
function importable(buffer: SimDmaBuf, end: bigint): void {
  if (end > buffer.size) throw refusal(MAP_FILE, "EINVAL", "dma-buf");
  if (buffer.revoked) throw refusal(MAP_FILE, "ENODEV", "dma-buf");
  if (buffer.ranges.length !== 1) throw refusal(MAP_FILE, "EOPNOTSUPP", "dma-buf");
}
