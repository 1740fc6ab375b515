/**
 * What the manifests of two policy sets say differently: which files make a set, each with its hash.
 *
 * @module
 */
import type { ListedFile } from "./manifest.ts";

/** A manifest as far as two are compared. */
export interface ManifestFiles {
  readonly files: readonly ListedFile[];
}

/** One entry under `files` that one manifest has and the other has not, or has otherwise. */
export interface ManifestFileDifference {
  /**
   * `unlisted` and `listed`: the entry is gone or new; `changed`: it has another `sha256`.
   */
  readonly kind: "unlisted" | "changed" | "listed";
  /** As the entry has it. */
  readonly path: string;
  readonly old?: string;
  readonly new?: string;
}

/** What two manifests say differently. */
export interface ManifestDifference {
  readonly kind: "removed" | "changed" | "added";
  /** In the order of the manifest before, then of the one after. */
  readonly files: readonly ManifestFileDifference[];
}

/**
 * Compares the manifests of two policy sets.
 *
 * @param before of the old set; absent: it has none
 * @param after of the new set
 * @returns nothing where both say the same, in whatever order
 */
export function diffManifests(
  before: ManifestFiles | undefined,
  after: ManifestFiles | undefined,
): ManifestDifference | undefined {
  const [old, now] = [entries(before), entries(after)];
  const files = [...new Set([...old.keys(), ...now.keys()])].flatMap((path) =>
    differenceOf(path, old.get(path), now.get(path))
  );
  if (after === undefined) return before === undefined ? undefined : { kind: "removed", files };
  if (before === undefined) return { kind: "added", files };
  return files.length === 0 ? undefined : { kind: "changed", files };
}

function entries(manifest: ManifestFiles | undefined): ReadonlyMap<string, ListedFile> {
  return new Map(manifest?.files.map((entry) => [entry.path.value, entry]));
}

function differenceOf(
  path: string,
  was: ListedFile | undefined,
  is: ListedFile | undefined,
): readonly ManifestFileDifference[] {
  const [old, now] = [was?.sha256?.value, is?.sha256?.value];
  const hashes = {
    ...(old === undefined ? {} : { old }),
    ...(now === undefined ? {} : { new: now }),
  };
  if (is === undefined) return [{ kind: "unlisted", path, ...hashes }];
  if (was === undefined) return [{ kind: "listed", path, ...hashes }];
  return old === now ? [] : [{ kind: "changed", path, ...hashes }];
}
