/**
 * What the release of a kernel says beforehand. Releases are hints (distributions backport): what
 * a device can do is settled by the probe when it is opened.
 *
 * @module
 */
import { type Finding, hostFinding } from "./host_findings.ts";

/** Version and patch level of a release. */
export type Release = readonly [number, number];

/** First release with `VFIO_DEVICE_FEATURE_DMA_BUF`. */
const FIRST: Release = [6, 19];
/** First release whose revoke waits until every importer has unmapped. */
const WAITS: Release = [7, 1];

/**
 * Judges a kernel release.
 *
 * @param release as `uname -r` prints it
 * @param acceptUnwaitedRevoke whether 6.19 to 7.0 are accepted
 * @returns what is wrong with it
 */
export function kernelFindings(release: string, acceptUnwaitedRevoke: boolean): readonly Finding[] {
  const version = parseRelease(release);
  if (version === undefined) {
    const what =
      `Linux ${release}: whether it exports BARs, and waits in a revoke, cannot be told by such a release`;
    return [hostFinding("BG2054", undefined, what)];
  }
  if (isBefore(version, FIRST)) {
    return [
      hostFinding("BG2015", undefined, `Linux ${release} has no dma-buf export of VFIO devices`),
    ];
  }
  if (isBefore(version, WAITS) && !acceptUnwaitedRevoke) {
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

/** A release candidate comes between the release before and its own: nobody knows what it has already. */
const HALF_A_STEP = 0.5;

/**
 * @param release as `uname -r` prints it
 * @returns undefined for what is no release
 */
export function parseRelease(release: string): Release | undefined {
  const found = /^(\d+)\.(\d+)(?:(?:\.0)?-(rc\d+))?/.exec(release);
  if (found === null) return undefined;
  const minor = Number(found[2]);
  return [Number(found[1]), found[3] === undefined ? minor : minor - HALF_A_STEP];
}

/** @returns whether the one release came before the other; not if one of them is none */
export function isBefore(a: Release | undefined, b: Release | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
