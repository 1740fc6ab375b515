/**
 * The way in: from the texts of policy files to a checked policy set, or to everything that is
 * wrong with them.
 *
 * @module
 */
import { buildPolicy } from "./build.ts";
import type { CheckContext } from "./checks/context.ts";
import { checkAcquire } from "./checks/acquire.ts";
import { checkDenied } from "./checks/denied.ts";
import { checkImporters } from "./checks/importers.ts";
import { checkNames } from "./checks/names.ts";
import { checkRanges } from "./checks/ranges.ts";
import { checkRegions } from "./checks/regions.ts";
import { checkReferences } from "./checks/references.ts";
import { checkRevocability } from "./checks/revocability.ts";
import { checkSelectors } from "./checks/selectors.ts";
import { checkShadowedDenies } from "./checks/shadowed_denies.ts";
import { checkSharing } from "./checks/sharing.ts";
import { checkTimes } from "./checks/times.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { digestOf } from "./digest.ts";
import type { PolicyDraft, Report } from "./draft.ts";
import type { LineMap } from "./lines.ts";
import type { PolicySet } from "./model.ts";
import { checkManifest, type Document, type Manifest, readManifest } from "./manifest.ts";
import { asScalar, get, type Node } from "./node.ts";
import { type PolicyTest, readTest } from "./policy_test.ts";
import type { DocumentKind } from "./shape.ts";
import { DraftReader } from "./read_draft.ts";
import { type Counts, diagnostic, DiagnosticSink } from "./report.ts";
import { checkSchema } from "./schema_check.ts";
import { readSource } from "./source.ts";
import { fileBeside, type NamedSource, SourceNames } from "./source_names.ts";
import { suggest } from "./suggest.ts";
import { parseYaml } from "./yaml.ts";

/** One policy file. */
export interface PolicySource {
  /** Name as the user gave it; `-` is standard input. */
  readonly file: string;
  /**
   * What else it is called, which a manifest may call it: where its links lead, and further paths by
   * which it was given.
   */
  readonly names?: readonly string[];
  readonly text?: string;
  /** Instead of text: checked to be UTF-8. */
  readonly bytes?: Uint8Array;
}

/** How to check. */
export interface LoadOptions {
  /** Page size of the host, bytes; absent: 4096 is assumed, and messages say so. */
  readonly pageSize?: number;
  /** Whether `denied` of the result is wanted. */
  readonly explaining?: boolean;
}

/** What became of the files. */
export interface LoadResult {
  /** Absent if and only if there is an error. */
  readonly set?: PolicySet;
  /**
   * Where it was asked for, and nothing is wrong but exports that denies forbid (BG1406, BG1407): what
   * the set says, to answer which deny forbids something. It is not valid, and nothing is allowed by it.
   */
  readonly denied?: PolicySet;
  /** In order of files and places, each once; of each file at most 1000, errors before others. */
  readonly diagnostics: readonly Diagnostic[];
  /** How many more there are. */
  readonly omitted: Counts;
  /** Entries under `exports`, as far as they could be read. */
  readonly exports: number;
  readonly files: number;
  /** The list of its files, where the set has one. */
  readonly manifest?: Pick<Manifest, "files">;
  /** Tests beside the policies, as far as they could be read. */
  readonly tests: readonly PolicyTest[];
}

const ASSUMED_PAGE_SIZE = 4096;

/**
 * Loads and checks policy files as one set: whole or not at all.
 *
 * @param sources in the order in which diagnostics are told
 * @throws {RangeError} when the page size is not a power of two of at least 4096
 *
 * @example
 * ```ts
 * import { loadPolicySet } from "./load.ts";
 * import assert from "node:assert/strict";
 *
 * const text = `
 * apiVersion: bargate/v1
 * kind: ExportPolicy
 * metadata: { name: demo }
 * devices: { ssd: { match: { id: "1b36:0010" } } }
 * importers: { engine: { identity: { user: nobody }, driver: iommufd } }
 * exports:
 *   - { name: data, device: ssd, bar: 2, slices: [{ offset: 4KiB, length: 8KiB }], importers: [engine] }
 * `;
 * const { set, diagnostics } = loadPolicySet([{ file: "demo.yaml", text }]);
 * assert.deepEqual(diagnostics, []);
 * assert.equal(set?.policies[0]?.exports[0]?.slices[0]?.offset, 4096n);
 * ```
 */
export function loadPolicySet(
  sources: readonly PolicySource[],
  options: LoadOptions = {},
): LoadResult {
  const pageSize = checkedPageSize(options);
  const sink = new DiagnosticSink(sources.map((source) => source.file));
  const report: Report = (code, at, message, details) =>
    sink.add(diagnostic(code, at, message, details));
  const files = sources.map((source) => readDocuments(source, sink, report));
  const found = files.flatMap(({ documents }) => documents);
  const drafts = found.flatMap(({ policy }) => policy ?? []);
  checkManifest(found, sources, report);
  check({ drafts, pageSize, whole: files.every(({ whole }) => whole), report });
  const names = new SourceNames(sources);
  const tests = found.flatMap(({ test }) => test === undefined ? [] : withFiles(test, names));
  const exports = drafts.reduce((count, draft) => count + draft.exports.length, 0);
  // Whatever the schema refuses, refuses the set.
  if (!sink.hasErrors) files.forEach(({ left }) => left.forEach((each) => sink.add(each)));
  const { omitted } = sink;
  const manifest = found.find((each) => each.manifest !== undefined)?.manifest;
  const result = {
    diagnostics: sink.sorted(),
    omitted,
    exports,
    files: sources.length,
    tests,
    ...(manifest === undefined ? {} : { manifest }),
  };
  if (!sink.hasErrors) return { ...result, set: buildSet(drafts) };
  const isDenied = options.explaining === true && omitted.error === 0 &&
    result.diagnostics.every(({ severity, code }) => severity !== "error" || DENIED.has(code));
  return isDenied ? { ...result, denied: buildSet(drafts) } : result;
}

/** Codes of exports that a deny of the set forbids. */
const DENIED: ReadonlySet<string> = new Set(["BG1406", "BG1407"]);

function checkedPageSize({ pageSize }: LoadOptions): CheckContext["pageSize"] {
  const bytes = pageSize ?? ASSUMED_PAGE_SIZE;
  if (!isPageSize(bytes)) {
    throw new RangeError(
      `Cannot use the page size: it is no power of two from 4096 up (received ${bytes})`,
    );
  }
  return { bytes: BigInt(bytes), assumed: pageSize === undefined };
}

/** Whether a host could have this page size. */
export function isPageSize(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes >= 4096 && Number.isInteger(Math.log2(bytes));
}

interface ReadFile {
  readonly documents: readonly Document[];
  readonly whole: boolean;
  /** What the schema says of values that their own parsers judge. */
  readonly left: readonly Diagnostic[];
}

function readDocuments(
  source: PolicySource,
  sink: DiagnosticSink,
  report: Report,
): ReadFile {
  const read = readSource({ file: source.file, content: source.bytes ?? source.text ?? "" });
  if (!read.ok) {
    read.diagnostics.forEach((found) => sink.add(found));
    return { documents: [], whole: false, left: [] };
  }
  const { documents, maimed, doubled, diagnostics } = parseYaml(read.text, read.lines);
  diagnostics.forEach((found) => sink.add(found));
  if (documents.length === 0 && diagnostics.length === 0) {
    report("BG1013", read.lines.span(0, 0), "Cannot find a policy in the file: it is empty");
  }
  const readable = documents.filter((root) => !maimed.has(root));
  const left: Diagnostic[] = [];
  const take: Take = { lines: read.lines, sink, report, left };
  const found = readable.map((root) => readDocument(root, !doubled.has(root), take));
  const whole = diagnostics.length === 0 && found.every(({ foreign }) => foreign === undefined);
  return { documents: found, whole, left };
}

/** What goes with every document of a file. */
interface Take {
  readonly lines: LineMap;
  readonly sink: DiagnosticSink;
  readonly report: Report;
  readonly left: Diagnostic[];
}

/** @param distinct whether no key stands twice */
function readDocument(root: Node, distinct: boolean, take: Take): Document {
  const { lines, sink, report } = take;
  const { file } = lines;
  if (root.kind === "scalar" && root.type === "null") {
    report(
      "BG1013",
      lines.spanOf(root),
      "Cannot find a policy in the document: it is empty",
    );
    return { file };
  }
  const strange = foreignDocument(root);
  if (strange !== undefined) {
    const { at, message, fix } = strange;
    report("BG1105", lines.spanOf(at), message, { fix });
    return { file, foreign: true };
  }
  const kind = kindOf(root);
  const { found, meant, faulty, left } = checkSchema(root, lines, kind);
  found.forEach((each) => sink.add(each));
  left.forEach((each) => take.left.push(each));
  const sound = distinct && found.length === 0;
  if (kind === "PolicySet") return { file, manifest: readManifest(meant, lines, faulty) };
  if (kind === "PolicyTest") return { file, ...readTest(meant, lines, report, sound) };
  return { file, policy: new DraftReader(lines, report, faulty).policy(meant, sound) };
}

const KINDS: readonly DocumentKind[] = ["ExportPolicy", "PolicySet", "PolicyTest"];

/**
 * What the document is meant to be: by the word, by one that is near to it, or by what only one kind
 * has. Whatever is no other kind is a policy, and told what it lacks.
 */
function kindOf(root: Node): DocumentKind {
  const written = asScalar(get(root, "kind"))?.text ?? "";
  const kind = KINDS.find((each) => each === written || each === suggest(written, KINDS));
  if (kind !== undefined) return kind;
  if (get(root, "cases") !== undefined) return "PolicyTest";
  return get(root, "files") === undefined ? "ExportPolicy" : "PolicySet";
}

/** Documents of Bargate's own that are no policies, and what to do with them. */
const OTHER_KINDS: ReadonlyMap<string, string> = new Map([
  ["HostSnapshot", "give it with --inventory, and policies as paths"],
  [
    "ExportPlan",
    "give it with --plan to bargate export, and here the policies that it was made of",
  ],
  ["PathMatrix", "leave it out: it is a result, which no verb reads"],
]);

/** What a document is that is written in another language, told once and not key by key. */
interface ForeignDocument {
  readonly at: Node;
  readonly message: string;
  readonly fix: string;
}

const VERSION = "bargate/v1";

function foreignDocument(root: Node): ForeignDocument | undefined {
  const [version, kind] = [asScalar(get(root, "apiVersion")), asScalar(get(root, "kind"))];
  const other = OTHER_KINDS.get(kind?.text ?? "");
  if (kind !== undefined && other !== undefined) {
    const message = `Cannot take the document for a policy: it is ${
      kind.text === "ExportPlan" ? "an" : "a"
    } ${kind.text}`;
    return { at: kind, message, fix: other };
  }
  const words = [...KINDS, ...OTHER_KINDS.keys()];
  if (version !== undefined && isOtherVersion(version.text)) {
    const ofKind = kind === undefined ? "" : `, kind ${JSON.stringify(kind.text.slice(0, 80))}`;
    const message =
      `Cannot take the document for a policy: its apiVersion is not ${VERSION} (received ${
        JSON.stringify(version.text.slice(0, 80))
      }${ofKind})`;
    const fix = version.text.startsWith("bargate/")
      ? `write ${VERSION}, or take a Bargate that knows the other`
      : `leave it out, or write ${VERSION} if it is one`;
    return { at: version, message, fix };
  }
  if (kind?.type !== "string" || kind.text === "") return undefined;
  if (words.includes(kind.text) || suggest(kind.text, words) !== undefined) return undefined;
  const message = `Cannot take the document for a policy: no kind has this name (received ${
    JSON.stringify(kind.text.slice(0, 80))
  })`;
  return { at: kind, message, fix: `write ${KINDS.join(" or ")}` };
}

/** Whether it is no slip of the pen, which is told as such. */
function isOtherVersion(version: string): boolean {
  if (version === VERSION || version === "") return false;
  return /^bargate\/v[0-9]/.test(version) || suggest(version, [VERSION]) === undefined;
}

function check(context: CheckContext): void {
  checkNames(context);
  checkReferences(context);
  checkRanges(context);
  checkRegions(context);
  checkDenied(context);
  checkShadowedDenies(context);
  checkImporters(context);
  checkRevocability(context);
  checkAcquire(context);
  checkSelectors(context);
  checkSharing(context);
  checkTimes(context);
}

/** A test with the files that its cases name under the names by which diagnostics have them. */
function withFiles(test: PolicyTest, names: SourceNames<NamedSource>): PolicyTest {
  const cases = test.cases.map((one) => {
    const { expect: { file }, at } = one;
    if (file === undefined) return one;
    const named = names.find(at.file, file)?.file ?? fileBeside(at.file, file);
    return { ...one, expect: { ...one.expect, file: named } };
  });
  return { ...test, cases };
}

function buildSet(drafts: readonly PolicyDraft[]): PolicySet {
  const policies = drafts.map(buildPolicy);
  return { policies, digest: digestOf(policies) };
}
