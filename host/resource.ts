/**
 * BARs of a function, from its sysfs file `resource`.
 *
 * @module
 */
import type { SnapshotBar } from "./snapshot.ts";

/** Bits of `struct resource` flags (include/linux/ioport.h). */
const IORESOURCE_IO = 0x100n;
const IORESOURCE_MEM = 0x200n;
const IORESOURCE_PREFETCH = 0x2000n;
const IORESOURCE_MEM_64 = 0x100000n;

const BARS = 6;
/** A BAR that is not implemented. */
const NONE = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
const LINE = /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16})$/;

/**
 * Reads the first six lines of a sysfs `resource` file: `start end flags`, one BAR each.
 *
 * @param text the whole file
 * @returns the implemented BARs, by index
 * @throws {SyntaxError} if a line is none of the kernel's
 *
 * @example
 * ```ts
 * import { parseResource } from "./resource.ts";
 *
 * const [bar] = parseResource("0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n");
 * if (bar?.size !== 0x4000n || bar.kind !== "memory64") throw new Error("wrong");
 * ```
 */
export function parseResource(text: string): SnapshotBar[] {
  const bars: SnapshotBar[] = [];
  let next = 0;
  for (let index = 0; index < BARS && next < text.length; index++) {
    const at = next;
    if (text.startsWith(NONE, at)) {
      next += NONE.length;
      continue;
    }
    const feed = text.indexOf("\n", at);
    const line = feed < 0 ? text.slice(at) : text.slice(at, feed);
    next = at + line.length + 1;
    if (line === "" || `${line}\n` === NONE) continue;
    const found = LINE.exec(line);
    if (found === null) {
      throw new SyntaxError(
        `Cannot read BAR ${index}: no "start end flags" (received ${JSON.stringify(line)})`,
      );
    }
    const [start, end, flags] = found.slice(1).map(BigInt) as [bigint, bigint, bigint];
    const bar = barOf(index, start, end, flags);
    if (bar !== undefined) bars.push(bar);
  }
  return bars;
}

function barOf(
  index: number,
  start: bigint,
  end: bigint,
  flags: bigint,
): SnapshotBar | undefined {
  if ((flags & (IORESOURCE_IO | IORESOURCE_MEM)) === 0n || end < start) return undefined;
  const kind = (flags & IORESOURCE_IO) !== 0n
    ? "io"
    : (flags & IORESOURCE_MEM_64) !== 0n
    ? "memory64"
    : "memory32";
  return {
    index,
    kind,
    start,
    size: end - start + 1n,
    prefetchable: (flags & IORESOURCE_PREFETCH) !== 0n,
  };
}
