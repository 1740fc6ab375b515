/**
 * Reads JSON (RFC 8259) value by value from its bytes, for files that nobody vouches for: keys come
 * one by one, so that duplicates are seen; nothing is built that the caller does not ask for; depth
 * is bounded; every place is known.
 *
 * @module
 */

/** What a value is, by its first byte. */
export type JsonKind = "object" | "array" | "string" | "number" | "boolean" | "null";

/** A string as it stands in the file, between its quotes. */
export interface JsonString {
  /** Offset of the first byte after the opening quote. */
  readonly start: number;
  /** Offset of the closing quote. */
  readonly end: number;
  /** Printable ASCII without escapes: its bytes are its text. */
  readonly plain: boolean;
}

/** Why reading stopped. */
export type JsonFault = "syntax" | "depth";

/** The bytes are no JSON, or are nested too deep. Nothing after the place can be read. */
export class JsonError extends Error {
  override readonly name = "JsonError";
  constructor(readonly fault: JsonFault, readonly offset: number, message: string) {
    super(message);
  }
}

/** Collections inside each other. */
export const MAX_JSON_DEPTH = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;
const LITERALS: ReadonlyMap<number, string> = new Map([
  [0x74, "true"],
  [0x66, "false"],
  [0x6e, "null"],
]);
/** Words that are remembered; a power of two. */
const WORDS = 4096;
/** Bytes of a word that may be worth remembering. */
const LONGEST_WORD = 64;
/** Bytes of a key that are taken into a pointer. */
const KEY_BYTES = 128;

/**
 * A position in JSON text, and the way to it.
 *
 * @example
 * ```ts
 * import { JsonReader } from "./json_reader.ts";
 *
 * const reader = new JsonReader(new TextEncoder().encode(`{"a":[1,{"b/c":2}]}`));
 * const seen: string[] = [];
 * const visit = (): void => {
 *   if (reader.peek() === "object") reader.object(visit);
 *   else if (reader.peek() === "array") reader.array(visit);
 *   else seen.push(`${reader.pointer()}=${reader.number()}`);
 * };
 * visit();
 * reader.end();
 * if (seen.join(" ") !== "/a/0=1 /a/1/b~1c=2") throw new Error(seen.join(" "));
 * ```
 */
export class JsonReader {
  readonly #bytes: Uint8Array;
  readonly #path: (string | number)[] = [];
  readonly #words = new Array<string | undefined>(WORDS);
  #at = 0;

  /** @param bytes the whole file */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Offset of the next value. */
  get offset(): number {
    this.#blanks();
    return this.#at;
  }

  /** Offset behind what was read last. */
  get behind(): number {
    return this.#at;
  }

  /** JSON pointer (RFC 6901) of where the reader is. */
  pointer(): string {
    return jsonPointer(this.#path);
  }

  /** @returns what the next value is */
  peek(): JsonKind {
    this.#blanks();
    const byte = this.#bytes[this.#at];
    if (byte === 0x7b) return "object";
    if (byte === 0x5b) return "array";
    if (byte === QUOTE) return "string";
    if (byte === 0x74 || byte === 0x66) return "boolean";
    if (byte === 0x6e) return "null";
    if (byte === 0x2d || isDigit(byte)) return "number";
    throw this.#fault("a value should stand here");
  }

  /**
   * Reads an object.
   *
   * @param field called for each key, duplicates too; it must read or skip the value. The pointer is
   *   already that of the value
   */
  object(field: (key: JsonString) => void): void {
    this.#open(0x7b);
    if (this.#closes(0x7d)) return;
    do {
      this.#blanks();
      if (this.#bytes[this.#at] !== QUOTE) throw this.#fault('a key in "…" should stand here');
      const key = this.string();
      this.#take(0x3a, "a colon");
      this.#path.push(this.keyText(key));
      field(key);
      this.#path.pop();
    } while (this.#another(0x7d, "}"));
  }

  /**
   * Reads an array.
   *
   * @param item called for each item; it must read or skip it
   */
  array(item: (index: number) => void): void {
    this.#open(0x5b);
    if (this.#closes(0x5d)) return;
    let index = 0;
    do {
      this.#path.push(index);
      item(index++);
      this.#path.pop();
    } while (this.#another(0x5d, "]"));
  }

  /** Reads a string, without decoding it. */
  string(): JsonString {
    this.#blanks();
    const start = ++this.#at;
    let plain = true;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === QUOTE) break;
      if (byte === undefined) throw this.#fault("the file ends inside a string");
      if (byte < 0x20) throw this.#fault("a control character in a string must be escaped");
      if (byte === BACKSLASH) this.#escape();
      else this.#at++;
      if (byte === BACKSLASH || byte >= DELETE) plain = false;
    }
    return { start, end: this.#at++, plain };
  }

  /** Reads a number. @returns it as it is written */
  number(): string {
    this.#blanks();
    const start = this.#at;
    if (this.#bytes[this.#at] === 0x2d) this.#at++;
    if (this.#bytes[this.#at] === 0x30) this.#at++;
    else this.#digits();
    if (this.#bytes[this.#at] === 0x2e) {
      this.#at++;
      this.#digits();
    }
    if (((this.#bytes[this.#at] ?? 0) | 0x20) === 0x65) {
      this.#at++;
      const sign = this.#bytes[this.#at];
      if (sign === 0x2b || sign === 0x2d) this.#at++;
      this.#digits();
    }
    // Nobody needs more of a number than shows that it is too long.
    return this.#ascii(start, Math.min(this.#at, start + KEY_BYTES));
  }

  /** Reads any value and forgets it. */
  skip(): void {
    switch (this.peek()) {
      case "object":
        return this.object(() => this.skip());
      case "array":
        return this.array(() => this.skip());
      case "string":
        return void this.string();
      case "number":
        return void this.number();
      default:
        return this.#literal();
    }
  }

  /** Nothing but blanks may follow. */
  end(): void {
    this.#blanks();
    if (this.#at < this.#bytes.length) throw this.#fault("nothing may follow the value");
  }

  /**
   * Decodes a string.
   *
   * @param string as {@linkcode string} gave it
   * @returns its text; undefined if its bytes are no UTF-8
   */
  decode({ start, end, plain }: JsonString): string | undefined {
    if (plain) return this.#ascii(start, end);
    try {
      const raw = UTF8.decode(this.#bytes.subarray(start, end));
      return String(JSON.parse(`"${raw}"`));
    } catch (error) {
      if (error instanceof TypeError) return undefined;
      throw error;
    }
  }

  /** A key as it is told to people: shortened if it is long, whatever its bytes are. */
  keyText(key: JsonString): string {
    if (key.end - key.start > KEY_BYTES) {
      return `${LENIENT.decode(this.#bytes.subarray(key.start, key.start + KEY_BYTES))}…`;
    }
    return this.decode(key) ?? LENIENT.decode(this.#bytes.subarray(key.start, key.end));
  }

  /** What stands between two places, shortened, for messages. */
  excerpt(start: number, end: number): string {
    const limit = 64;
    const text = LENIENT.decode(this.#bytes.subarray(start, Math.min(end, start + limit)))
      .replaceAll(/\s+/g, " ");
    return end - start > limit ? `${text}…, ${end - start} bytes` : text;
  }

  /** The same words come again and again: each is made once. */
  #ascii(start: number, end: number): string {
    if (end - start > LONGEST_WORD) return LENIENT.decode(this.#bytes.subarray(start, end));
    let hash = end - start;
    for (let at = start; at < end; at++) hash = (hash * 31 + (this.#bytes[at] ?? 0)) | 0;
    const slot = hash & (WORDS - 1);
    const known = this.#words[slot];
    if (known !== undefined && this.#isAt(known, start, end)) return known;
    const word = LENIENT.decode(this.#bytes.subarray(start, end));
    this.#words[slot] = word;
    return word;
  }

  #isAt(word: string, start: number, end: number): boolean {
    if (word.length !== end - start) return false;
    for (let at = start; at < end; at++) {
      if (word.charCodeAt(at - start) !== this.#bytes[at]) return false;
    }
    return true;
  }

  #blanks(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }

  #open(bracket: number): void {
    this.#blanks();
    if (this.#bytes[this.#at] !== bracket) throw this.#fault("a collection should stand here");
    if (this.#path.length >= MAX_JSON_DEPTH) {
      const message =
        `more than ${MAX_JSON_DEPTH} collections inside each other (received one more)`;
      throw new JsonError("depth", this.#at, message);
    }
    this.#at++;
  }

  #closes(bracket: number): boolean {
    this.#blanks();
    if (this.#bytes[this.#at] !== bracket) return false;
    this.#at++;
    return true;
  }

  /** After an item: a comma and another one, or the end. */
  #another(bracket: number, name: string): boolean {
    if (this.#closes(bracket)) return false;
    this.#take(0x2c, `a comma or ${name}`);
    return true;
  }

  #take(byte: number, name: string): void {
    this.#blanks();
    if (this.#bytes[this.#at] !== byte) throw this.#fault(`${name} should stand here`);
    this.#at++;
  }

  #escape(): void {
    const kind = this.#bytes[this.#at + 1] ?? 0;
    if (kind === 0x75) {
      const digits = this.#ascii(this.#at + 2, Math.min(this.#at + 6, this.#bytes.length));
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#fault("\\u needs four hexadecimal digits");
      this.#at += 6;
    } else {
      if (!'"\\/bfnrt'.includes(String.fromCharCode(kind))) {
        throw this.#fault("JSON has no such escape");
      }
      this.#at += 2;
    }
  }

  #digits(): void {
    if (!isDigit(this.#bytes[this.#at])) throw this.#fault("a digit should stand here");
    while (isDigit(this.#bytes[this.#at])) this.#at++;
  }

  #literal(): void {
    const word = LITERALS.get(this.#bytes[this.#at] ?? 0) ?? "";
    if (word === "" || this.#ascii(this.#at, this.#at + word.length) !== word) {
      throw this.#fault("a value should stand here");
    }
    this.#at += word.length;
  }

  #fault(what: string): JsonError {
    const byte = this.#bytes[this.#at];
    const received = byte === undefined
      ? "the end of the file"
      : byte > 0x20 && byte < DELETE
      ? String.fromCharCode(byte)
      : `byte 0x${byte.toString(16).padStart(2, "0")}`;
    return new JsonError("syntax", this.#at, `${what} (received ${received})`);
  }
}

/**
 * Writes a JSON pointer (RFC 6901).
 *
 * @param path keys and indexes, outermost first
 *
 * @example
 * ```ts
 * import { jsonPointer } from "./json_reader.ts";
 *
 * if (jsonPointer(["a/b", 0, "~"]) !== "/a~1b/0/~0") throw new Error("wrong");
 * if (jsonPointer([]) !== "") throw new Error("the whole document");
 * ```
 */
export function jsonPointer(path: readonly (string | number)[]): string {
  return path.map((step) =>
    typeof step === "number" ? `/${step}` : `/${step.replaceAll("~", "~0").replaceAll("/", "~1")}`
  ).join("");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
