/**
 * Lays out the argument of `VFIO_DEVICE_FEATURE_DMA_BUF`. Exports are the hot path: the memory is
 * taken once and written by whole words.
 *
 * @module
 */
import type { DmaRange } from "../engine/kernel.ts";
import { C, STRUCTS } from "./layouts.ts";

const FEATURE = STRUCTS.vfio_device_feature;
const DMA_BUF = STRUCTS.vfio_device_feature_dma_buf;
const RANGE = STRUCTS.vfio_region_dma_range;

const EXPORT_FLAGS = C.VFIO_DEVICE_FEATURE_GET | C.VFIO_DEVICE_FEATURE_DMA_BUF;
const OPEN_FLAGS = C.O_CLOEXEC | C.O_RDWR;

/** Positions in 32-bit words. */
const ARGSZ = FEATURE.fields.argsz.offset / 4;
const FLAGS = FEATURE.fields.flags.offset / 4;
const REGION_INDEX = (FEATURE.size + DMA_BUF.fields.region_index.offset) / 4;
const OPEN_FLAGS_AT = (FEATURE.size + DMA_BUF.fields.open_flags.offset) / 4;
const NR_RANGES = (FEATURE.size + DMA_BUF.fields.nr_ranges.offset) / 4;

/** Positions in 64-bit words. */
const FIRST_RANGE = (FEATURE.size + DMA_BUF.size) / 8;
const RANGE_WORDS = RANGE.size / 8;
const OFFSET = RANGE.fields.offset.offset / 8;
const LENGTH = RANGE.fields.length.offset / 8;

/** The argument, and views of it. The next request for the same number of ranges overwrites it. */
interface ExportRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array;
  readonly longWords: BigUint64Array;
}

/** Memory is kept for requests of few ranges: nearly all there are. */
const MOST_KEPT = 16;
const kept: (ExportRequest | undefined)[] = [];

function allocateRequest(ranges: number): ExportRequest {
  const buffer = new ArrayBuffer(FEATURE.size + DMA_BUF.size + RANGE.size * ranges);
  const request = {
    bytes: new Uint8Array(buffer),
    words: new Uint32Array(buffer),
    longWords: new BigUint64Array(buffer),
  };
  request.words[ARGSZ] = buffer.byteLength;
  request.words[FLAGS] = EXPORT_FLAGS;
  request.words[OPEN_FLAGS_AT] = OPEN_FLAGS;
  request.words[NR_RANGES] = ranges;
  return request;
}

function requestFor(ranges: number): ExportRequest {
  if (ranges > MOST_KEPT) return allocateRequest(ranges);
  return kept[ranges] ??= allocateRequest(ranges);
}

/**
 * Writes a request.
 *
 * @param region BAR, 0 to 5
 * @param ranges in the buffer's order, bytes
 * @returns the argument; it stays as it is until the next call of this function
 *
 * @example
 * ```ts
 * import { encodeExport } from "./export_request.ts";
 *
 * const { bytes } = encodeExport(2, [{ offset: 0x1000n, length: 0x2000n }]);
 * if (bytes[8] !== 2 || bytes.byteLength !== 40) throw new Error("the BAR comes third");
 * ```
 */
export function encodeExport(region: number, ranges: readonly DmaRange[]): ExportRequest {
  const request = requestFor(ranges.length);
  const { words, longWords } = request;
  words[REGION_INDEX] = region;
  let at = FIRST_RANGE;
  for (let index = 0; index < ranges.length; index++, at += RANGE_WORDS) {
    const range = ranges[index] as DmaRange;
    longWords[at + OFFSET] = range.offset;
    longWords[at + LENGTH] = range.length;
  }
  return request;
}
