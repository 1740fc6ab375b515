/**
 * Which processor this host has, as far as an x86 kernel tells.
 *
 * @module
 */
import type { FieldReader } from "./field_reader.ts";
import type { SnapshotCpu } from "./snapshot.ts";

const CPUINFO = "/proc/cpuinfo";
/** What is looked for is among the first lines; there can be thousands of processors. */
const HEAD_BYTES = 4096;

/**
 * Reads the first processor's vendor and family, by which the kernel decides about peer-to-peer DMA.
 *
 * @param fields reads, and takes what is wrong
 * @returns what it is, with nothing in it where the kernel is not for x86; undefined if the file
 *   cannot be read
 */
export function readCpu(fields: FieldReader): SnapshotCpu | undefined {
  const text = fields.head(CPUINFO, HEAD_BYTES, "cpu");
  if (text === undefined) return undefined;
  const [first = ""] = text.split("\n\n");
  const vendor = /^vendor_id\s*: ([ -~]{1,64})$/m.exec(first)?.[1];
  const family = /^cpu family\s*: ([0-9]{1,9})$/m.exec(first)?.[1];
  return vendor === undefined || family === undefined ? {} : { vendor, family: Number(family) };
}
