/**
 * Reads the values of a snapshot file. Each that is not what it must be is told, with what was
 * received and what to write instead, and gives undefined.
 *
 * @module
 */
import { CONFIG_HEADER_BYTES } from "./config_space.ts";
import type { JsonKind, JsonReader, JsonString } from "./json_reader.ts";
import type { ProblemKind, ProblemSink } from "./snapshot_problem.ts";

/** What a text must look like. */
export interface TextRule {
  readonly pattern: RegExp;
  /** Goes on after "expected ". */
  readonly expected: string;
  /** What was probably meant; undefined if nothing is near. */
  readonly meant?: (text: string) => string | undefined;
}

/** Reads one value, or tells what is wrong with it. Reads it to its end in either case. */
export type ValueReader<T> = (values: SnapshotValues) => T | undefined;

/** One field of an object. */
export interface Field {
  readonly required: boolean;
  readonly read: ValueReader<unknown>;
}

/** Bytes of a text, with its escapes, that are looked at. */
const MAX_TEXT_BYTES = 4096;
/** PCI Express extended configuration space, bytes. */
const MAX_CONFIG_BYTES = 4096;
/** Configuration space is cut from pieces of this many bytes: a buffer of its own costs more than 64 bytes. */
const SLAB_BYTES = 1 << 20;
const HEX64_EXPECTED = 'a string, "0x" and hexadecimal digits';
const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
/** Whatever is not a visible ASCII character or a blank. */
const HIDDEN = /[^\x20-\x7e]/;
const HEX64 = /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/;

/** The values of one file. */
export class SnapshotValues {
  #slab = new Uint8Array(0);

  /**
   * @param json where to read
   * @param bytes of the same file
   * @param problems takes what is wrong
   */
  constructor(
    readonly json: JsonReader,
    private readonly bytes: Uint8Array,
    readonly problems: ProblemSink,
  ) {}

  /**
   * Tells that the value that the reader is at is wrong.
   *
   * @param kind how
   * @param offset of the value
   * @param why with what was received
   * @param fix what to write instead
   */
  report(kind: ProblemKind, offset: number, why: () => string, fix?: () => string | undefined) {
    this.problems.add(kind, () => {
      return { pointer: this.json.pointer(), offset, why: why(), fix: fix?.() };
    });
  }

  /**
   * Reads an object.
   *
   * @param fields the fields that it may have
   * @returns its values by name; undefined if it is no object, or anything in it is wrong
   */
  object(fields: ReadonlyMap<string, Field>): Record<string, unknown> | undefined {
    if (!this.#is("object", "an object")) return undefined;
    const offset = this.json.offset;
    const before = this.problems.count;
    const seen = new Set<string>();
    const found: Record<string, unknown> = {};
    this.json.object((key) => {
      const name = this.#fieldName(key, fields, seen);
      if (name === undefined) return this.json.skip();
      seen.add(name);
      const value = fields.get(name)?.read(this);
      if (value !== undefined) found[name] = value;
    });
    for (const [name, { required }] of fields) {
      if (!required || seen.has(name)) continue;
      this.problems.add("missing-field", () => {
        const pointer = `${this.json.pointer()}/${name}`;
        return { pointer, offset, why: "the field is missing" };
      });
    }
    return this.problems.count === before ? found : undefined;
  }

  /** Which of the fields a key is; told if it is none, or comes again. */
  #fieldName(
    key: JsonString,
    fields: ReadonlyMap<string, Field>,
    seen: ReadonlySet<string>,
  ): string | undefined {
    const name = this.json.keyText(key);
    if (fields.has(name)) {
      if (!seen.has(name)) return name;
      this.report("duplicate-field", key.start - 1, () => "the field stands here a second time");
      return undefined;
    }
    this.report("unknown-field", key.start - 1, () => {
      const known = [...fields.keys()].join(", ");
      return `there is no such field; known are ${known} (received ${this.#received(key)})`;
    });
    return undefined;
  }

  /** Reads an array. @returns its items without those that are wrong; undefined if it is none */
  list<T>(item: ValueReader<T>): T[] | undefined {
    if (!this.#is("array", "an array")) return undefined;
    const items: T[] = [];
    this.json.array(() => {
      const value = item(this);
      if (value !== undefined) items.push(value);
    });
    return items;
  }

  /** Reads a text of a given form. */
  text(rule: TextRule): string | undefined {
    if (!this.#is("string", `a string, ${rule.expected}`)) return undefined;
    const string = this.json.string();
    const text = this.#decoded(string);
    if (text === undefined) return undefined;
    if (rule.pattern.test(text)) return text;
    if (HIDDEN.test(text)) {
      this.report(
        "hidden-character",
        string.start - 1,
        () => `it may hold printable ASCII characters only (received ${this.#received(string)})`,
      );
    } else {
      const meant = rule.meant?.(text);
      this.report(
        "bad-value",
        string.start - 1,
        () => `expected ${rule.expected} (received ${this.#received(string)})`,
        () => meant === undefined ? undefined : `write ${JSON.stringify(meant)}`,
      );
    }
    return undefined;
  }

  /** Reads one of some words. */
  word<T extends string>(words: readonly T[], rule: TextRule): T | undefined {
    const text = this.text(rule);
    return words.find((word) => word === text);
  }

  /** Reads an integer, written without fraction and exponent. */
  integer(least: number, most: number): number | undefined {
    if (!this.#is("number", "a number")) return undefined;
    const at = this.json.offset;
    const text = this.json.number();
    const received = () => `(received ${this.json.excerpt(at, this.json.behind)})`;
    if (!INTEGER.test(text)) {
      this.report(
        "bad-value",
        at,
        () => `expected an integer without fraction and exponent ${received()}`,
      );
      return undefined;
    }
    const value = Number(text);
    if (value >= least && value <= most) return value;
    this.report(
      "out-of-range",
      at,
      () => `expected an integer from ${least} to ${most} ${received()}`,
    );
    return undefined;
  }

  /** Reads a 64-bit number, a hexadecimal string. */
  hex64(least: bigint): bigint | undefined {
    if (this.json.peek() === "number") return this.#plainNumber();
    if (!this.#is("string", HEX64_EXPECTED)) return undefined;
    const string = this.json.string();
    const text = this.#decoded(string);
    if (text === undefined) return undefined;
    const value = HEX64.test(text) ? BigInt(text) : undefined;
    if (value !== undefined && value >= least) return value;
    const [kind, why, fix] = wrongHex(text);
    this.report(
      kind,
      string.start - 1,
      () => `${why} (received ${this.#received(string)})`,
      () => fix,
    );
    return undefined;
  }

  /** What most people would write: exact only below 2^53, and so refused. */
  #plainNumber(): undefined {
    const at = this.json.offset;
    const text = this.json.number();
    this.report(
      "wrong-type",
      at,
      () => `expected ${HEX64_EXPECTED} (received number ${text})`,
      () => /^[0-9]{1,15}$/.test(text) ? `write "0x${BigInt(text).toString(16)}"` : undefined,
    );
  }

  /** Reads configuration space, in hexadecimal digits. */
  config(): Uint8Array | undefined {
    if (!this.#is("string", "a string of hexadecimal digits")) return undefined;
    const string = this.json.string();
    const { start, end } = string;
    const wrong = (why: string): undefined => {
      this.report(
        "bad-config",
        start - 1,
        () => `${why} (received ${end - start} characters, ${this.#received(string)})`,
      );
    };
    if ((end - start) % 2 !== 0) return wrong("a byte has two digits, and their number is odd");
    const length = (end - start) / 2;
    if (length < CONFIG_HEADER_BYTES) {
      return wrong(`the header alone has ${CONFIG_HEADER_BYTES} bytes`);
    }
    if (length > MAX_CONFIG_BYTES) {
      return wrong(`configuration space has at most ${MAX_CONFIG_BYTES} bytes`);
    }
    const config = this.#allocate(length);
    for (let at = 0; at < length; at++) {
      const byte = byteAt(this.bytes, start + 2 * at);
      if (byte < 0) return wrong("expected lower-case hexadecimal digits only");
      config[at] = byte;
    }
    return config;
  }

  #allocate(length: number): Uint8Array {
    if (this.#slab.length < length) this.#slab = new Uint8Array(SLAB_BYTES);
    const cut = this.#slab.subarray(0, length);
    this.#slab = this.#slab.subarray(length);
    return cut;
  }

  /** Reads past the next value, and tells, unless it is of a kind. */
  #is(kind: JsonKind, expected: string): boolean {
    const received = this.json.peek();
    if (received === kind) return true;
    const at = this.json.offset;
    this.json.skip();
    this.report("wrong-type", at, () => {
      const excerpt = this.json.excerpt(at, this.json.behind);
      const said = received === "null" ? excerpt : `${received} ${excerpt}`;
      return `expected ${expected} (received ${said})`;
    });
    return false;
  }

  #decoded(string: JsonString): string | undefined {
    if (string.end - string.start > MAX_TEXT_BYTES) {
      this.report(
        "bad-value",
        string.start - 1,
        () =>
          `no text here is longer than ${MAX_TEXT_BYTES} bytes (received ${
            this.#received(string)
          })`,
      );
      return undefined;
    }
    const text = this.json.decode(string);
    if (text === undefined) {
      this.report(
        "encoding",
        string.start - 1,
        () => `the bytes are no UTF-8 (received ${this.#received(string)})`,
      );
    }
    return text;
  }

  #received({ start, end }: JsonString): string {
    return this.json.excerpt(start - 1, end + 1);
  }
}

/** Why a text is no 64-bit number, and what to write. */
function wrongHex(text: string): readonly [ProblemKind, string, string?] {
  const digits = /^0[xX]0*([0-9a-fA-F]+)$/.exec(text)?.[1];
  if (digits === undefined) return ["bad-value", `expected ${HEX64_EXPECTED}`];
  if (digits.length > 16) return ["out-of-range", "the number has more than 64 bits"];
  if (text === "0x0") return ["out-of-range", "it must not be 0"];
  const why = "expected lower-case hexadecimal digits without leading zeros";
  return ["bad-value", why, `write "0x${digits.toLowerCase()}"`];
}

/** The byte that two lower-case hexadecimal digits write; negative if they are none. */
function byteAt(bytes: Uint8Array, at: number): number {
  const high = DIGITS[bytes[at] ?? 0] ?? -1;
  const low = DIGITS[bytes[at + 1] ?? 0] ?? -1;
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** Value of a digit by its ASCII code; -1: none. */
const DIGITS = Int8Array.from(
  { length: 256 },
  (_, code) => "0123456789abcdef".indexOf(String.fromCharCode(code)),
);
