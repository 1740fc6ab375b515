/**
 * The manifest of a policy set: which files it is made of. With one, a set in which anything is
 * missing, extra or different is invalid, so that sets of two checkouts cannot be mixed up.
 *
 * @module
 */
import type { PolicyDraft, Report } from "./draft.ts";
import type { LineMap } from "./lines.ts";
import type { Placed } from "./model.ts";
import { asScalar, get, itemsOf, type Node } from "./node.ts";
import type { PolicyTest } from "./policy_test.ts";
import type { Span } from "./position.ts";
import { related } from "./report.ts";
import { sha256 } from "./sha256.ts";
import { fileBeside, type NamedSource, SourceNames } from "./source_names.ts";

/** One entry under `files`. */
export interface ListedFile {
  readonly path: Placed<string>;
  readonly sha256?: Placed<string>;
}

/** A manifest as far as it could be read. */
export interface Manifest {
  readonly files: readonly ListedFile[];
  /** Whether every path could be read: only then is a file that no entry names known to be extra. */
  readonly readable: boolean;
  readonly at: Span;
}

/** What one document of a file is. */
export interface Document {
  readonly file: string;
  readonly policy?: PolicyDraft;
  readonly manifest?: Manifest;
  readonly test?: PolicyTest;
  /** It is in another language: whatever it says, it is no part of the set. */
  readonly foreign?: true;
}

/** A file with what is hashed. */
interface HashedSource extends NamedSource {
  readonly text?: string;
  readonly bytes?: Uint8Array;
}

/**
 * Reads a manifest.
 *
 * @param faulty values that the schema has told: they are left out
 */
export function readManifest(root: Node, lines: LineMap, faulty: ReadonlySet<Node>): Manifest {
  const text = (node: Node | undefined): Placed<string> | undefined => {
    const scalar = asScalar(node);
    if (scalar?.type !== "string" || faulty.has(scalar)) return undefined;
    return { value: scalar.text, at: lines.spanOf(scalar) };
  };
  const items = itemsOf(get(root, "files"));
  const files = items.flatMap((item) => {
    const path = text(get(item, "path"));
    const hash = text(get(item, "sha256"));
    if (path === undefined) return [];
    return [{ path, ...(hash === undefined ? {} : { sha256: hash }) }];
  });
  const kind = get(root, "kind") ?? root;
  const readable = items.length > 0 && files.length === items.length;
  return { files, readable, at: lines.spanOf(kind) };
}

/**
 * Holds the files of a set against its manifest. Without a manifest there is nothing to hold.
 *
 * @param documents of all files
 * @param sources all files
 */
export function checkManifest(
  documents: readonly Document[],
  sources: readonly HashedSource[],
  report: Report,
): void {
  const [first, ...others] = documents.filter(({ manifest }) => manifest !== undefined);
  if (first?.manifest === undefined) return;
  const place = related(first.manifest.at, "the manifest");
  for (const { manifest } of others) {
    if (manifest === undefined) continue;
    const message = "Cannot have two manifests in one set: a set is made of one list of files";
    report("BG1804", manifest.at, message, { related: [place] });
  }
  const names = new SourceNames(sources);
  const find = (path: string) => names.find(first.file, path);
  const listed = listedFiles(first.manifest, find, report);
  if (!first.manifest.readable) return;
  for (const { file, policy } of documents) {
    if (policy === undefined || listed.has(file)) continue;
    const why = file === first.file ? "it stands in the manifest's own file" : "no entry names it";
    report(
      "BG1802",
      policy.name?.at ?? policy.at,
      `Cannot accept a policy beside those of the manifest: ${why}`,
      {
        related: [place],
      },
    );
  }
}

/**
 * Holds each entry against its file.
 *
 * @returns the names of the files that are listed
 */
function listedFiles(
  { files }: Manifest,
  find: (path: string) => HashedSource | undefined,
  report: Report,
): ReadonlySet<string> {
  const listed = new Map<string, ListedFile>();
  for (const entry of files) {
    const { path: { value, at } } = entry;
    const source = find(value);
    const first = listed.get(source?.file ?? value);
    if (first !== undefined) {
      const message = `Cannot list a file twice (received ${JSON.stringify(value)})`;
      report("BG1804", at, message, { related: [related(first.path.at, "first here")] });
      continue;
    }
    listed.set(source?.file ?? value, entry);
    if (source === undefined) {
      const message = `Cannot find a file of the set (received ${JSON.stringify(value)})`;
      report("BG1801", at, message, giveToo(at.file, value));
    } else checkHash(entry, source, report);
  }
  return new Set(listed.keys());
}

/** What to give besides the manifest; one from standard input lies in no folder. */
function giveToo(manifest: string, path: string): { readonly fix?: string } {
  if (manifest === "-") return {};
  const folder = manifest.replace(/[^/]*$/, "") || ".";
  return { fix: `give the folder ${folder}, or ${fileBeside(manifest, path)} too, if it is there` };
}

function checkHash(
  { path, sha256: expected }: ListedFile,
  source: HashedSource,
  report: Report,
): void {
  if (expected === undefined) return;
  const bytes = source.bytes ?? new TextEncoder().encode(source.text ?? "");
  const found = sha256(bytes);
  if (found === expected.value) return;
  const message = `Cannot accept ${
    JSON.stringify(path.value)
  }: it is another file than the one listed (its hash is ${found})`;
  report("BG1803", expected.at, message);
}
