/**
 * An I/O address space, by the rules of drivers/iommu/iommufd/io_pagetable.c (Linux 7.3).
 *
 * @module
 */
import { SimDmaBuf } from "./dma_buf.ts";
import { refusal } from "./errno.ts";
import { drop, type SimFile, take } from "./file_table.ts";

const PAGE = 4096n;
/** `ULONG_MAX`. */
const MOST = (1n << 64n) - 1n;

/** An inclusive range of IOVAs. */
interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * What no device of a PC can reach, once one is attached: the interrupt controller's page frames, and
 * what lies past the 39 bits of a three-level page table.
 */
const RESERVED: readonly Span[] = [
  { first: 0xfee0_0000n, last: 0xfeef_ffffn },
  { first: 1n << 39n, last: MOST },
];

/** `iopt_pages`: one import of a file, which areas share. It keeps the file. */
export class SimPages {
  /** Whether DMA through its areas lands; once it does not, it never does again. */
  live = true;
  #areas = 0;

  constructor(readonly file: SimFile, readonly writeable: boolean) {
    take(file);
    if (file instanceof SimDmaBuf) file.attach(this);
  }

  /** What is unmapped does not come back. */
  invalidate(): undefined {
    this.live = false;
  }

  /** One more area has them. */
  share(): this {
    this.#areas++;
    return this;
  }

  /** An area has gone, or none has come to be. */
  leave(): void {
    if (--this.#areas > 0) return;
    if (this.file instanceof SimDmaBuf) this.file.detach(this);
    drop(this.file);
  }
}

/** `iopt_area`. */
interface SimArea extends Span {
  readonly pages: SimPages;
  /** First byte of the file. */
  readonly start: bigint;
  readonly writeable: boolean;
}

/** A stretch to be mapped. */
interface Piece {
  readonly pages: SimPages;
  readonly start: bigint;
  readonly length: bigint;
}

/** An I/O address space. */
export class SimAddressSpace {
  /** In the order of their IOVAs. */
  #areas: SimArea[] = [];
  /** The page table that devices attached to it share; absent: none is attached. */
  pageTable: { readonly id: number; devices: number } | undefined;

  get areas(): readonly Span[] {
    return this.#areas;
  }

  get #alignment(): bigint {
    return this.pageTable === undefined ? 1n : PAGE;
  }

  get #reserved(): readonly Span[] {
    return this.pageTable === undefined ? [] : RESERVED;
  }

  /** Before a device is attached: what is mapped must be within its reach, and be dma-bufs. */
  checkAttachable(call: string): void {
    const fits = this.#areas.every((area) =>
      area.first % PAGE === 0n && (area.last + 1n) % PAGE === 0n && area.start % PAGE === 0n &&
      !RESERVED.some((span) => overlaps(span, area))
    );
    if (!fits) throw refusal(call, "EADDRINUSE", "ioas");
    for (const { pages } of this.#areas) this.#checkFile(call, pages);
  }

  /** No memory is pinned before a device is to reach it; only then a file without any is found out. */
  #checkFile(call: string, { file }: SimPages): void {
    if (!(file instanceof SimDmaBuf)) throw refusal(call, "EINVAL", "ioas");
  }

  /** Maps pieces one after the other. @returns the IOVA of the first */
  map(call: string, pieces: readonly Piece[], iova: bigint | undefined, write: boolean): bigint {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0n);
    if (length === 0n || length % this.#alignment !== 0n) throw refusal(call, "EINVAL", "ioas");
    const start = pieces[0]?.start ?? 0n;
    const at = iova ?? this.#freeIova(call, start, length);
    if (iova !== undefined) this.#check(call, at, length);
    for (const piece of pieces) {
      if (write && !piece.pages.writeable) throw refusal(call, "EPERM", "ioas");
      if (piece.start % PAGE % this.#alignment !== 0n) throw refusal(call, "EINVAL", "ioas");
      if (this.pageTable !== undefined) this.#checkFile(call, piece.pages);
    }
    let first = at;
    for (const { pages, start, length } of pieces) {
      const span = { first, last: first + length - 1n };
      this.#areas.push({ ...span, pages: pages.share(), start, writeable: write });
      first += length;
    }
    this.#areas.sort((a, b) => a.first < b.first ? -1 : 1);
    return at;
  }

  /** The lowest hole, aligned as the file is. Never IOVA 0. */
  #freeIova(call: string, start: bigint, length: bigint): bigint {
    if (length >= MOST / 2n) throw refusal(call, "EOVERFLOW", "ioas");
    const wanted = start === 0n ? PAGE : start & -start;
    const alignment = [nextPowerOfTwo(length), wanted, PAGE].reduce((a, b) => a < b ? a : b);
    if (alignment < this.#alignment) throw refusal(call, "EINVAL", "ioas");
    for (const { first, last } of this.#holes()) {
      const at = (first + alignment - 1n) / alignment * alignment | start % PAGE;
      if (at < last && last - at >= length - 1n) return at;
    }
    throw refusal(call, "ENOSPC", "ioas");
  }

  *#holes(): Generator<Span> {
    let first = PAGE;
    const used = [...this.#areas, ...this.#reserved].sort((a, b) => a.first < b.first ? -1 : 1);
    for (const span of used) {
      if (span.first > first) yield { first, last: span.first - 1n };
      if (span.last >= first) first = span.last + 1n;
    }
    if (first < MOST - PAGE) yield { first, last: MOST - PAGE };
  }

  #check(call: string, iova: bigint, length: bigint): void {
    const wanted = { first: iova, last: iova + length - 1n };
    if (iova % this.#alignment !== 0n) throw refusal(call, "EINVAL", "ioas");
    if (wanted.last > MOST) throw refusal(call, "EOVERFLOW", "ioas");
    if (this.#reserved.some((span) => overlaps(span, wanted))) {
      throw refusal(call, "EINVAL", "ioas");
    }
    if (this.#areas.some((area) => overlaps(area, wanted))) throw refusal(call, "EEXIST", "ioas");
  }

  /** What is mapped in a range, which must have no hole. */
  pieces(call: string, iova: bigint, length: bigint): readonly Piece[] {
    if (length === 0n) throw refusal(call, "EINVAL", "ioas");
    const last = iova + length - 1n;
    if (last > MOST) throw refusal(call, "EOVERFLOW", "ioas");
    const pieces: Piece[] = [];
    for (let at = iova; at <= last;) {
      const area = this.#areas.find((it) => it.first <= at && at <= it.last);
      if (area === undefined) throw refusal(call, "ENOENT", "ioas");
      const end = area.last < last ? area.last : last;
      const start = area.start + at - area.first;
      pieces.push({ pages: area.pages, start, length: end - at + 1n });
      at = end + 1n;
    }
    return pieces;
  }

  /** Takes whole areas away; one that would be split stops it, after those before it are gone. */
  unmap(call: string, iova: bigint, length: bigint): bigint {
    if (iova === 0n && length === MOST) return this.clear();
    if (iova === MOST || length === MOST) throw refusal(call, "EOVERFLOW", "ioas");
    if (length === 0n) throw refusal(call, "EINVAL", "ioas");
    const wanted = { first: iova, last: iova + length - 1n };
    if (wanted.last > MOST) throw refusal(call, "EOVERFLOW", "ioas");
    let unmapped = 0n;
    for (const area of this.#areas.filter((each) => overlaps(each, wanted))) {
      const split = area.first < wanted.first || area.last > wanted.last;
      if (split) throw refusal(call, "ENOENT", "ioas");
      this.#forget(area);
      unmapped += area.last - area.first + 1n;
    }
    if (unmapped === 0n) throw refusal(call, "ENOENT", "ioas");
    return unmapped;
  }

  /** Takes everything away. @returns bytes */
  clear(): bigint {
    const bytes = this.#areas.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
    for (const area of [...this.#areas]) this.#forget(area);
    return bytes;
  }

  #forget(area: SimArea): void {
    this.#areas = this.#areas.filter((other) => other !== area);
    area.pages.leave();
  }

  /** Whether a DMA write to an IOVA lands in what was mapped there. */
  lands(iova: bigint): boolean {
    return this.#areas.some(({ first, last, pages, writeable }) =>
      pages.live && writeable && first <= iova && iova <= last
    );
  }
}

function overlaps(a: Span, b: Span): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function nextPowerOfTwo(value: bigint): bigint {
  return 1n << BigInt((value - 1n).toString(2).length - (value === 1n ? 1 : 0));
}
