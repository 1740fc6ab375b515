/**
 * iommufd's address spaces, as far as dma-bufs are mapped into them (drivers/iommu/iommufd).
 *
 * @module
 */
import { refusal } from "./errno.ts";
import { drop, type SimFile, take } from "./file_table.ts";
import type { SimArea, SimDmaBuf } from "./vfio.ts";

const FIRST_FREE_IOVA = 0x1000_0000n;

/** An open `/dev/iommu`. */
export class SimIommufd implements SimFile {
  readonly kind = "iommufd";
  references = 0;
  readonly #spaces = new Map<number, SimArea[]>();
  #nextId = 1;

  /** Ids of all its objects are of one row: a bound device takes one too. */
  takeId(): number {
    return this.#nextId++;
  }

  allocate(): number {
    const id = this.takeId();
    this.#spaces.set(id, []);
    return id;
  }

  destroy(id: number): void {
    for (const area of this.#space(id, "IOMMU_DESTROY")) this.#forget(area);
    this.#spaces.delete(id);
  }

  map(id: number, buffer: SimDmaBuf, length: bigint, iova: bigint | undefined): bigint {
    const call = "IOMMU_IOAS_MAP_FILE";
    const space = this.#space(id, call);
    if (buffer.revoked) throw refusal(call, "ENODEV", "dma-buf");
    if (buffer.ranges.length !== 1) throw refusal(call, "EOPNOTSUPP", "dma-buf");
    if (length === 0n || length > buffer.size) throw refusal(call, "EINVAL", "dma-buf");
    const at = iova ?? space.reduce(
      (end, area) => area.iova + area.length > end ? area.iova + area.length : end,
      FIRST_FREE_IOVA,
    );
    if (space.some((area) => at < area.iova + area.length && area.iova < at + length)) {
      throw refusal(call, "EEXIST", "dma-buf");
    }
    this.#add(space, { iova: at, length, buffer, live: true });
    return at;
  }

  /** A copy shares the buffer, and outlives the unmap of the original. */
  copy(to: number, from: number, iova: bigint, length: bigint): bigint {
    const call = "IOMMU_IOAS_COPY";
    const source = this.#space(from, call).find((area) => area.iova === iova);
    if (source === undefined || source.length !== length) throw refusal(call, "ENOENT", "ioas");
    const space = this.#space(to, call);
    const at = space.reduce(
      (end, area) => area.iova + area.length > end ? area.iova + area.length : end,
      FIRST_FREE_IOVA,
    );
    this.#add(space, { iova: at, length, buffer: source.buffer, live: source.live });
    return at;
  }

  /** Copies every area of an address space inside it. */
  copyAll(id: number): void {
    for (const { iova, length } of [...this.#spaces.get(id) ?? []]) this.copy(id, id, iova, length);
  }

  unmap(id: number, iova: bigint, length: bigint): bigint {
    const space = this.#space(id, "IOMMU_IOAS_UNMAP");
    const index = space.findIndex((area) => area.iova === iova && area.length === length);
    const [area] = index < 0 ? [] : space.splice(index, 1);
    if (area === undefined) throw refusal("IOMMU_IOAS_UNMAP", "ENOENT", "ioas");
    this.#forget(area);
    return area.length;
  }

  /** Whether DMA to an IOVA lands in the buffer that was mapped there. */
  lands(id: number, iova: bigint): boolean {
    return this.#space(id, "DMA").some((area) =>
      area.live && iova >= area.iova && iova < area.iova + area.length
    );
  }

  release(): void {
    for (const space of this.#spaces.values()) for (const area of space) this.#forget(area);
    this.#spaces.clear();
  }

  #space(id: number, call: string): SimArea[] {
    const space = this.#spaces.get(id);
    if (space === undefined) throw refusal(call, "ENOENT", "ioas");
    return space;
  }

  #add(space: SimArea[], area: SimArea): void {
    take(area.buffer);
    area.buffer.attach(area);
    space.push(area);
  }

  #forget(area: SimArea): void {
    area.buffer.detach(area);
    drop(area.buffer);
  }
}
