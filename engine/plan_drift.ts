/**
 * What differs between a plan that is a file and the plan as it would be made now. The file is walked
 * beside the value that it should be, so that it costs no memory, whatever is in it.
 *
 * @module
 */
import { JsonError, type JsonKind, JsonReader } from "../host/json_reader.ts";
import { faultOf, type PlanFinding } from "./plan_file.ts";

/** Differences that are told; the rest is counted. */
export const MAX_DIFFERENCES = 10;
/** Text of a value in a message, characters. */
const LONGEST = 200;
/** Where the plan's facts came from is no difference; and these were compared before. */
const NOT_COMPARED = new Set(["inventory", "simulated", "options", "policy"]);
/**
 * Findings about the host: those about policies are the policies' own, and have their paths. What a
 * controller's slices hold (BG2055, BG2056) is told by what it once answered; an export does not ask it
 * again, and the slices themselves are compared.
 */
const HOST_FINDING = /^BG2(?!055|056)/;

/** A JSON value: what `JSON.parse` gives. */
type Json = unknown;

/**
 * Holds a file against the plan of now.
 *
 * @param bytes of a file whose head was read
 * @param now the plan of now, by `planJson`
 * @returns the first differences, in the file's order, and one that counts the rest; none: nothing
 *   that is done would be done differently
 */
export function driftOf(bytes: Uint8Array, now: Json): readonly PlanFinding[] {
  // As it is in a file: without what is undefined, and with nothing but JSON.
  const walk = new Walk(bytes, JSON.parse(JSON.stringify(now)));
  return walk.run();
}

class Walk {
  readonly #json: JsonReader;
  readonly #findings: PlanFinding[] = [];
  /** What was told once: one fact stands in many steps. */
  readonly #told = new Set<string>();
  #more = 0;

  constructor(bytes: Uint8Array, private readonly now: Json) {
    this.#json = new JsonReader(bytes);
  }

  run(): readonly PlanFinding[] {
    try {
      this.#value(this.now);
      this.#json.end();
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return [faultOf(error, this.#json.pointer())];
    }
    if (this.#more === 0) return this.#findings;
    const message = `${this.#more} more differences from the plan are not shown`;
    return [...this.#findings, { code: "BG2312", pointer: "", offset: 0, message }];
  }

  #value(now: Json): void {
    const json = this.#json;
    const kind = json.peek();
    if (kind !== kindOf(now)) return this.#differs(now);
    if (kind === "object") return this.#object(now as Record<string, Json>);
    if (kind === "array") return this.#array(now as readonly Json[]);
    const offset = json.offset;
    if (kind === "string") {
      if (json.decode(json.string()) !== now) this.#tell(offset, now);
    } else {
      json.skip();
      if (json.excerpt(offset, json.behind) !== JSON.stringify(now)) this.#tell(offset, now);
    }
  }

  #object(now: Record<string, Json>): void {
    const json = this.#json;
    const atRoot = json.pointer() === "";
    const offset = json.offset;
    const seen = new Set<string>();
    json.object((key) => {
      const name = json.keyText(key);
      if (seen.has(name)) return this.#twice();
      const known = (atRoot && NOT_COMPARED.has(name)) || Object.hasOwn(now, name);
      if (!known) return this.#differs(undefined);
      seen.add(name);
      if (atRoot && NOT_COMPARED.has(name)) json.skip();
      else if (atRoot && name === "diagnostics") this.#diagnostics(now[name]);
      else this.#value(now[name]);
    });
    for (const name of Object.keys(now)) {
      if (seen.has(name) || (atRoot && NOT_COMPARED.has(name))) continue;
      this.#missing(`${json.pointer()}/${name}`, offset, now[name]);
    }
  }

  #array(now: readonly Json[]): void {
    const json = this.#json;
    const offset = json.offset;
    let count = 0;
    json.array((index) => {
      count++;
      if (index < now.length) this.#value(now[index]);
      else this.#differs(undefined);
    });
    for (let index = count; index < now.length; index++) {
      this.#missing(`${json.pointer()}/${index}`, offset, now[index]);
    }
  }

  /** Reads past a value that is another. */
  #differs(now: Json): void {
    const offset = this.#json.offset;
    this.#json.skip();
    this.#tell(offset, now);
  }

  /** The value was read. */
  #tell(offset: number, now: Json): void {
    const json = this.#json;
    this.#change(json.pointer(), offset, json.excerpt(offset, json.behind), now);
  }

  #missing(pointer: string, offset: number, now: Json): void {
    this.#change(pointer, offset, "nothing", now);
  }

  #change(pointer: string, offset: number, planned: string, now: Json): void {
    const change = `was planned as ${planned}, and is ${textOf(now)} now`;
    if (this.#told.has(change)) {
      this.#more++;
      return;
    }
    const replaced = planned !== "nothing" && now !== undefined;
    if (replaced && this.#findings.length < MAX_DIFFERENCES) this.#told.add(change);
    const what = this.#about(pointer);
    this.#add("BG2311", pointer, offset, `Cannot export by the plan: ${what} ${change}`);
  }

  #add(code: PlanFinding["code"], pointer: string, offset: number, message: string): void {
    if (this.#findings.length >= MAX_DIFFERENCES) this.#more++;
    else this.#findings.push({ code, pointer, offset, message });
  }

  /** A pointer alone tells people too little: which grant it is about says the plan of now. */
  #about(pointer: string): string {
    const index = /^\/grants\/([0-9]+)/.exec(pointer)?.[1];
    const { grants } = this.now as { grants?: readonly GrantName[] };
    const grant = index === undefined ? undefined : grants?.[Number(index)];
    return grant === undefined
      ? pointer
      : `${pointer} (${grant.export} of ${grant.device.address})`;
  }

  /** Of two values under one name nobody can say which counts. */
  #twice(): void {
    const json = this.#json;
    const message = `Cannot accept ${json.pointer()} of the plan: it stands here a second time`;
    this.#add("BG2306", json.pointer(), json.offset, message);
    json.skip();
  }

  /** Where in the policies a finding is, and in which order they are told, is no difference. */
  #diagnostics(now: Json): void {
    const json = this.#json;
    const offset = json.offset;
    if (json.peek() !== "array") return this.#differs(now);
    const fresh = hostFindings(now);
    const known = new Set(fresh);
    json.array(() => {
      const text = this.#findingText();
      if (text === undefined) return;
      fresh.delete(text);
      if (!known.has(text)) this.#finding(offset, `a finding of then is gone: ${text}`);
    });
    for (const text of fresh) {
      this.#finding(offset, `the host's finding was not there: ${text}`);
    }
  }

  #finding(offset: number, what: string): void {
    const message = `Cannot export by the plan: when it was made, ${what}`;
    this.#add("BG2311", "/diagnostics", offset, message);
  }

  /** @returns undefined: it is none about the host */
  #findingText(): string | undefined {
    const json = this.#json;
    if (json.peek() !== "object") {
      json.skip();
      return undefined;
    }
    const seen = new Set<string>();
    const fields = new Map<string, string>();
    json.object((key) => {
      const name = json.keyText(key);
      if (seen.has(name)) return this.#twice();
      seen.add(name);
      const wanted = name === "code" || name === "severity" || name === "message";
      if (!wanted || json.peek() !== "string") return json.skip();
      fields.set(name, json.decode(json.string()) ?? "");
    });
    if (!HOST_FINDING.test(fields.get("code") ?? "")) return undefined;
    return findingText(["code", "severity", "message"].map((name) => fields.get(name)));
  }
}

interface GrantName {
  readonly export: string;
  readonly device: { readonly address: string };
}

/** Those of a plan that are about the host, as text. */
function hostFindings(diagnostics: Json): Set<string> {
  const all = Array.isArray(diagnostics) ? diagnostics as readonly Record<string, Json>[] : [];
  return new Set(
    all.filter(({ code }) => HOST_FINDING.test(String(code)))
      .map(({ code, severity, message }) => findingText([code, severity, message])),
  );
}

function findingText([code, severity, message]: readonly Json[]): string {
  return `${severity} ${code}, ${message}`;
}

function kindOf(value: Json): JsonKind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as "object" | "string" | "number" | "boolean";
}

function textOf(value: Json): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
