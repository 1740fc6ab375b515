/**
 * A plan that is a file, and that nobody vouches for. Nothing is taken from it: it is held against
 * the plan that is made anew, and what it says of itself decides only whether that makes sense.
 *
 * @module
 */
import { JsonError, JsonReader } from "../host/json_reader.ts";
import { placesOf } from "../host/snapshot_problem.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { HOST_CODES, type HostCode } from "../policy/host_codes.ts";
import { PLAN_API_VERSION, PLAN_KIND } from "./plan_json.ts";

/** Largest file, bytes. */
export const MAX_PLAN_BYTES = 64 * 1024 * 1024;
/** Options that a plan can have been made with; nobody has so many. */
const MAX_OPTIONS = 16;
const TWICE = "it stands here a second time";
const HEAD = ["apiVersion", "kind", "policy", "options"] as const;

/** What is wrong with the file, or differs. */
export interface PlanFinding {
  readonly code: HostCode;
  /** JSON pointer (RFC 6901). */
  readonly pointer: string;
  /** Byte offset in the file. */
  readonly offset: number;
  readonly message: string;
}

/** What a plan says that it is of. */
export interface PlanHead {
  /** Digest of the policies. */
  readonly policy: string;
  /** Where that stands, byte offset. */
  readonly policyAt: number;
  readonly simulated: boolean;
  /** As JSON text, by name. */
  readonly options: ReadonlyMap<string, string>;
}

/** A head, or why there is none. */
export interface ParsedHead {
  readonly head?: PlanHead;
  readonly findings: readonly PlanFinding[];
}

/**
 * Reads what a plan is of. The whole file must be JSON. Never throws, whatever the bytes are; time is
 * linear in their number, and memory is not more than they are.
 *
 * @param bytes the whole file
 */
export function readPlanHead(bytes: Uint8Array): ParsedHead {
  const spoiled = textFinding(bytes);
  if (spoiled !== undefined) return { findings: [spoiled] };
  const reader = new HeadReader(bytes);
  const head = reader.read();
  return { ...(head === undefined ? {} : { head }), findings: reader.findings };
}

/**
 * Findings as diagnostics.
 *
 * @param findings of one file
 * @param file as the user gave it
 * @param bytes of the file
 */
export function planDiagnostics(
  findings: readonly PlanFinding[],
  file: string,
  bytes: Uint8Array,
): readonly Diagnostic[] {
  const last = ({ code, offset }: PlanFinding) => code === "BG2312" ? Infinity : offset;
  const sorted = findings.toSorted((a, b) => last(a) < last(b) ? -1 : last(a) > last(b) ? 1 : 0);
  const places = placesOf(bytes, sorted.map(({ offset }) => offset));
  return sorted.map(({ code, pointer, message }, index) => {
    const { line, column } = places[index] ?? { line: 1, column: 1 };
    const { severity, fix } = HOST_CODES[code];
    const at = { file, line, column, endLine: line, endColumn: column, pointer };
    return { code, severity, message, ...at, fix, help: `docs/diagnostics.md#${code}` };
  });
}

/** What stops all reading, as a finding. */
export function faultOf(error: JsonError, pointer: string): PlanFinding {
  const { fault, offset, message } = error;
  return {
    code: fault === "depth" ? "BG2303" : "BG2301",
    pointer,
    offset,
    message: `Cannot read the plan: ${message}`,
  };
}

function textFinding(bytes: Uint8Array): PlanFinding | undefined {
  const whole = { pointer: "", offset: 0 };
  if (bytes.length > MAX_PLAN_BYTES) {
    const message =
      `Cannot read the plan: at most ${MAX_PLAN_BYTES} bytes are read (received ${bytes.length} or more)`;
    return { code: "BG2303", ...whole, message };
  }
  const [first, second, third] = bytes;
  const utf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  const utf8 = first === 0xef && second === 0xbb && third === 0xbf;
  if (!utf16 && !utf8) return undefined;
  const message = "Cannot read the plan: JSON has no byte order mark (received one)";
  return { code: "BG2302", ...whole, message };
}

class HeadReader {
  readonly findings: PlanFinding[] = [];
  readonly #json: JsonReader;
  readonly #texts = new Map<string, { readonly text: string; readonly at: number }>();
  #options: Map<string, string> | undefined;
  #simulated = false;
  readonly #seen = new Set<string>();

  constructor(bytes: Uint8Array) {
    this.#json = new JsonReader(bytes);
  }

  read(): PlanHead | undefined {
    const json = this.#json;
    try {
      if (json.peek() !== "object") this.#find("BG2307", "a plan is an object");
      if (json.peek() === "object") json.object((key) => this.#field(json.keyText(key)));
      else json.skip();
      json.end();
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      this.findings.push(faultOf(error, json.pointer()));
    }
    return this.findings.length > 0 ? undefined : this.#head();
  }

  #find(code: HostCode, why: string, offset = this.#json.offset): void {
    const pointer = this.#json.pointer();
    const what = pointer === "" ? "the plan" : `${pointer} of the plan`;
    this.findings.push({ code, pointer, offset, message: `Cannot accept ${what}: ${why}` });
  }

  #field(name: string): void {
    const json = this.#json;
    const known = ["simulated", ...HEAD].includes(name);
    if (known && this.#seen.has(name)) this.#find("BG2306", TWICE);
    this.#seen.add(name);
    if (name === "simulated") {
      const at = json.offset;
      json.skip();
      this.#simulated = json.excerpt(at, json.behind) !== "false";
    } else if (name === "options") this.#readOptions();
    else if (known) this.#readText(name);
    else json.skip();
  }

  #readText(name: string): void {
    const json = this.#json;
    const at = json.offset;
    if (json.peek() !== "string") {
      this.#find("BG2307", "expected a string");
      return json.skip();
    }
    const text = json.decode(json.string());
    if (text === undefined) this.#find("BG2302", "its bytes are no UTF-8", at);
    else this.#texts.set(name, { text, at });
  }

  #readOptions(): void {
    const json = this.#json;
    if (json.peek() !== "object") {
      this.#find("BG2307", "expected an object");
      return json.skip();
    }
    const options = this.#options = new Map();
    const seen = new Set<string>();
    json.object((key) => {
      const name = json.keyText(key);
      if (seen.has(name)) this.#find("BG2306", TWICE);
      seen.add(name);
      const text = this.#optionText();
      if (options.size < MAX_OPTIONS) options.set(name, text);
    });
  }

  #optionText(): string {
    const json = this.#json;
    const at = json.offset;
    if (json.peek() === "string") return JSON.stringify(json.decode(json.string()) ?? "");
    json.skip();
    return json.excerpt(at, json.behind);
  }

  #head(): PlanHead | undefined {
    for (const name of HEAD) {
      if (this.#seen.has(name)) continue;
      const message = `Cannot accept the plan: the field ${name} is missing`;
      this.findings.push({ code: "BG2305", pointer: `/${name}`, offset: 0, message });
    }
    for (const [name, word] of [["apiVersion", PLAN_API_VERSION], ["kind", PLAN_KIND]] as const) {
      const found = this.#texts.get(name);
      if (found === undefined || found.text === word) continue;
      const received = JSON.stringify(found.text.slice(0, 64));
      const message =
        `Cannot accept /${name} of the plan: expected "${word}" (received ${received})`;
      this.findings.push({ code: "BG2304", pointer: `/${name}`, offset: found.at, message });
    }
    const policy = this.#texts.get("policy");
    const options = this.#options;
    if (this.findings.length > 0 || policy === undefined || options === undefined) return undefined;
    return { policy: policy.text, policyAt: policy.at, simulated: this.#simulated, options };
  }
}
