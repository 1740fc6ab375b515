/**
 * What the release of a kernel says beforehand. Releases are hints (distributions backport): what
 * a device can do is settled by the probe when it is opened.
 *
 * @module
 */
import { isBefore, isCandidateOf, parseRelease, type Release } from "../host/kernel_release.ts";
import { type Finding, hostFinding } from "./host_findings.ts";

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
    const what = isCandidateOf(version, FIRST)
      ? `comes before ${nameOf(FIRST)}, and may have no dma-buf export of VFIO devices yet`
      : "has no dma-buf export of VFIO devices";
    return [hostFinding("BG2015", undefined, `Linux ${release} ${what}`)];
  }
  if (acceptUnwaitedRevoke) return [];
  const what = unwaitedText(release);
  return what === undefined ? [] : [hostFinding("BG2016", undefined, what)];
}

/**
 * What was accepted of a kernel.
 *
 * @param release as `uname -r` prints it
 * @param acceptUnwaitedRevoke whether 6.19 to 7.0 are accepted
 * @returns a note where it is such a kernel: who reviews must see it
 */
export function acceptedKernel(release: string, acceptUnwaitedRevoke: boolean): readonly Finding[] {
  const what = acceptUnwaitedRevoke ? unwaitedText(release) : undefined;
  return what === undefined
    ? []
    : [hostFinding("BG2059", undefined, `${what}: accepted by --accept-unwaited-revoke`)];
}

/** @returns undefined of a kernel that waits, or cannot export at all */
function unwaitedText(release: string): string | undefined {
  const version = parseRelease(release);
  if (version === undefined || isBefore(version, FIRST) || !isBefore(version, WAITS)) {
    return undefined;
  }
  const what = isCandidateOf(version, WAITS)
    ? `comes before ${
      nameOf(WAITS)
    }, and may not wait yet in a revoke until importers have unmapped`
    : "does not wait in a revoke until importers have unmapped";
  return `Linux ${release} ${what}`;
}

function nameOf(release: Release): string {
  return release.join(".");
}
