/**
 * What the release of a kernel says beforehand. Releases are hints (distributions backport): what
 * a device can do is settled by the probe when it is opened.
 *
 * @module
 */
import { type Finding, hostFinding } from "./host_findings.ts";

/** First release with `VFIO_DEVICE_FEATURE_DMA_BUF`. */
const FIRST: readonly [number, number] = [6, 19];
/** First release whose revoke waits until every importer has unmapped. */
const WAITS: readonly [number, number] = [7, 1];

/**
 * Judges a kernel release.
 *
 * @param release as `uname -r` prints it
 * @param acceptUnwaitedRevoke whether 6.19 to 7.0 are accepted
 * @returns what is wrong with it
 */
export function kernelFindings(release: string, acceptUnwaitedRevoke: boolean): readonly Finding[] {
  const found = /^(\d+)\.(\d+)/.exec(release);
  const version: readonly [number, number] = [Number(found?.[1] ?? 0), Number(found?.[2] ?? 0)];
  if (before(version, FIRST)) {
    return [
      hostFinding("BG2015", undefined, `Linux ${release} has no dma-buf export of VFIO devices`),
    ];
  }
  if (before(version, WAITS) && !acceptUnwaitedRevoke) {
    return [
      hostFinding(
        "BG2016",
        undefined,
        `Linux ${release} does not wait in a revoke until importers have unmapped`,
      ),
    ];
  }
  return [];
}

function before(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
