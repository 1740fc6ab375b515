/**
 * Reads Snapshot v1 back from a file that nobody vouches for.
 *
 * @module
 */
import { comparePciAddresses } from "./address.ts";
import { JsonError, JsonReader } from "./json_reader.ts";
import type { HostSnapshot } from "./snapshot.ts";
import { checkSnapshot } from "./snapshot_checks.ts";
import { readDraft, type SnapshotDraft } from "./snapshot_fields.ts";
import { ProblemSink, type SnapshotProblem } from "./snapshot_problem.ts";
import { SnapshotValues } from "./snapshot_values.ts";

/** Largest file, bytes: more than a host with the kernel's most functions can need. */
export const MAX_SNAPSHOT_BYTES = 512 * 1024 * 1024;

/** What was read, and all that is wrong with it. */
export interface ParsedSnapshot {
  /** Absent if a problem makes it unusable. */
  readonly snapshot?: HostSnapshot;
  /** In the file's order. */
  readonly problems: readonly SnapshotProblem[];
}

/**
 * Parses a snapshot. Never throws, whatever the bytes are; time and memory are linear in their number.
 *
 * @param bytes the whole file
 * @returns the snapshot, its functions sorted by address, or why there is none
 *
 * @example
 * ```ts
 * import { parseSnapshot } from "./parse_snapshot.ts";
 *
 * const bytes = new TextEncoder().encode(`{"apiVersion":"bargate/v1","kind":"HostSnapshot",
 *   "kernel":{"release":"7.3.4"},"pageSize":5000,"iommu":[],"functions":[]}`);
 * const { snapshot, problems } = parseSnapshot(bytes);
 * if (snapshot !== undefined || problems[0]?.pointer !== "/pageSize") throw new Error("wrong");
 * ```
 */
export function parseSnapshot(bytes: Uint8Array): ParsedSnapshot {
  const problems = new ProblemSink();
  const draft = isText(bytes, problems) ? readWhole(bytes, problems) : undefined;
  if (draft !== undefined) checkSnapshot(draft, problems);
  const told = problems.told(bytes);
  if (draft === undefined || problems.harmful) return { problems: told };
  const functions = draft.functions.map(({ entry }) => entry)
    .sort((a, b) => comparePciAddresses(a.address, b.address));
  return { snapshot: { ...draft.head, functions }, problems: told };
}

/** What the file begins with says what people sent instead. */
function isText(bytes: Uint8Array, problems: ProblemSink): boolean {
  const whole = { pointer: "", offset: 0 };
  if (bytes.length > MAX_SNAPSHOT_BYTES) {
    const why = `at most ${MAX_SNAPSHOT_BYTES} bytes are read (received ${bytes.length} or more)`;
    problems.add("too-large", () => ({ ...whole, why }));
    return false;
  }
  const [first, second, third] = bytes;
  const utf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  const utf8 = first === 0xef && second === 0xbb && third === 0xbf;
  if (utf16 || utf8) {
    const received = utf16 ? "one of UTF-16" : "one of UTF-8";
    const why = `JSON has no byte order mark (received ${received})`;
    const fix = "save the file as UTF-8 without a byte order mark";
    problems.add("encoding", () => ({ ...whole, why, fix }));
    return false;
  }
  return true;
}

function readWhole(bytes: Uint8Array, problems: ProblemSink): SnapshotDraft | undefined {
  const json = new JsonReader(bytes);
  try {
    const draft = readDraft(new SnapshotValues(json, bytes, problems));
    json.end();
    return draft;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const { offset, message: why } = error;
    const deep = error.fault === "depth";
    const fix = deep ? "take the inventory again: none is nested so deep" : undefined;
    problems.add(
      deep ? "too-large" : "syntax",
      () => ({ pointer: json.pointer(), offset, why, fix }),
    );
    return undefined;
  }
}
