/**
 * What is wrong with a snapshot file: kinds, places, and how much of it is told.
 *
 * @module
 */

/** What can be wrong. `engine/` gives each its code. */
export type ProblemKind =
  | "syntax"
  | "encoding"
  | "too-large"
  | "another-kind"
  | "missing-field"
  | "unknown-field"
  | "duplicate-field"
  | "wrong-type"
  | "bad-value"
  | "out-of-range"
  | "hidden-character"
  | "bad-config"
  | "duplicate-function"
  | "missing-parent"
  | "parent-cycle"
  | "bad-parent"
  | "node-of-another"
  | "not-left-out"
  | "bad-physfn"
  | "bar-taken"
  | "bar-overlap"
  | "config-of-another"
  | "more-problems"
  | "bad-name";

/** One finding. */
export interface SnapshotProblem {
  readonly kind: ProblemKind;
  /** JSON pointer (RFC 6901) of the value; that of the innermost value that is known, if the file is no JSON. */
  readonly pointer: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 code units. */
  readonly column: number;
  /** What is wrong, with the value received. */
  readonly message: string;
  /** What to do, if more can be said than for every problem of the kind. */
  readonly fix?: string;
}

/** Where a value stands. */
export interface ValuePlace {
  readonly pointer: string;
  /** Byte offset. */
  readonly offset: number;
}

/** Where a problem is, and why it is one. */
export interface Description extends ValuePlace {
  /** Goes on after "Cannot accept …: ". */
  readonly why: string;
  /** What to do. */
  readonly fix?: string | undefined;
}

/** Problems told of one file; the rest is counted. */
export const MAX_PROBLEMS = 100;

/** With these a snapshot is used nevertheless. */
const HARMLESS: ReadonlySet<ProblemKind> = new Set(["config-of-another", "more-problems"]);

type Found = Omit<SnapshotProblem, "line" | "column"> & { readonly offset: number };

/** Takes the problems of one file. */
export class ProblemSink {
  readonly #harmful: Found[] = [];
  readonly #harmless: Found[] = [];
  #count = 0;

  /** How many were taken. */
  get count(): number {
    return this.#count;
  }

  /** Whether one was taken that makes the snapshot unusable, told or not. */
  get harmful(): boolean {
    return this.#harmful.length > 0;
  }

  /**
   * @param kind what is wrong
   * @param describe says where and why; not asked for what is only counted
   */
  add(kind: ProblemKind, describe: () => Description): void {
    this.#count++;
    const list = HARMLESS.has(kind) ? this.#harmless : this.#harmful;
    if (list.length >= MAX_PROBLEMS) return;
    const { pointer, offset, why, fix } = describe();
    const what = pointer === "" ? "the snapshot" : pointer;
    const message = `Cannot accept ${what}: ${why}`;
    list.push({ kind, pointer, offset, message, ...(fix === undefined ? {} : { fix }) });
  }

  /** What is told, by place, harmless ones only as far as there is room; the last one says how many more there are. */
  told(bytes: Uint8Array): readonly SnapshotProblem[] {
    const kept = [...this.#harmful, ...this.#harmless].slice(0, MAX_PROBLEMS);
    const sorted = kept.sort((a, b) => a.offset - b.offset);
    const places = placesOf(bytes, sorted.map(({ offset }) => offset));
    const told = sorted.map(({ kind, pointer, message, fix }, index): SnapshotProblem => ({
      kind,
      pointer,
      ...(places[index] ?? FIRST),
      message,
      ...(fix === undefined ? {} : { fix }),
    }));
    const more = this.#count - told.length;
    if (more === 0) return told;
    const message = `${more} more problems of the snapshot are not shown`;
    return [...told, { kind: "more-problems", pointer: "", ...FIRST, message }];
  }
}

/** Line and column, from 1; columns in UTF-16 code units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

const FIRST: Place = { line: 1, column: 1 };

/**
 * Lines and columns of ascending offsets, in one pass. LF, CR and CRLF each end a line.
 *
 * @param bytes the whole file
 * @param offsets ascending
 */
export function placesOf(bytes: Uint8Array, offsets: readonly number[]): readonly Place[] {
  const places: Place[] = [];
  let [line, column, at] = [1, 1, 0];
  for (const offset of offsets) {
    for (; at < Math.min(offset, bytes.length); at++) {
      const byte = bytes[at] ?? 0;
      if (byte === 0x0a || (byte === 0x0d && bytes[at + 1] !== 0x0a)) {
        [line, column] = [line + 1, 1];
      } else column += utf16Units(byte);
    }
    places.push({ line, column });
  }
  return places;
}

/** UTF-16 code units that a byte of UTF-8 begins. */
function utf16Units(byte: number): number {
  if ((byte & 0xc0) === 0x80) return 0;
  return byte >= 0xf0 ? 2 : 1;
}
