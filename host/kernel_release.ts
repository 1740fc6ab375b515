/**
 * Releases of kernels, as `uname -r` prints them, in their order.
 *
 * @module
 */

/** Version and patch level; a candidate of a release comes half a step before it. */
export type Release = readonly [number, number];

/** Nobody knows what a release candidate has already of what the release surely has. */
const HALF_A_STEP = 0.5;
/** Distributions put it anywhere: `7.1.0-0.rc3.27.fc45`, `7.1.0-070100rc3-generic`, `7.1~rc2`. */
const CANDIDATE = /(?:^|[^a-z])rc\d/i;

/**
 * Reads a release. A candidate of a stable release (`7.1.3-rc1`) has all that its first one has.
 *
 * @param release as `uname -r` prints it
 * @returns undefined for what is no release
 *
 * @example
 * ```ts
 * import { isBefore, parseRelease } from "./kernel_release.ts";
 *
 * const [candidate, release] = [parseRelease("7.1.0-rc2"), parseRelease("7.1.0")];
 * if (!isBefore(candidate, release) || isBefore(release, candidate)) throw new Error("wrong");
 * ```
 */
export function parseRelease(release: string): Release | undefined {
  const found = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release);
  if (found === null) return undefined;
  const minor = Number(found[2]);
  const isFirst = Number(found[3] ?? 0) === 0;
  const isCandidate = isFirst && CANDIDATE.test(release.slice(found[0].length));
  return [Number(found[1]), isCandidate ? minor - HALF_A_STEP : minor];
}

/**
 * Whether a release is a candidate of another.
 *
 * @param release that may be one
 * @param of the other
 */
export function isCandidateOf(release: Release, of: Release): boolean {
  return release[0] === of[0] && release[1] === of[1] - HALF_A_STEP;
}

/** @returns whether the one release came before the other; not if one of them is none */
export function isBefore(a: Release | undefined, b: Release | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
