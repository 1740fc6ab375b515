/**
 * From text to trees: YAML 1.2 with the core schema, and nothing that hides meaning.
 *
 * @module
 */
import {
  type AliasEvent,
  COLLECTION_STYLE,
  type Event,
  EVENT_ID,
  getScalarValue,
  type MappingEvent,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  type SequenceEvent,
  YAMLException,
} from "./yaml_events.js";
import { aliased } from "./alias.ts";
import type { Code } from "./codes.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { LineMap } from "./lines.ts";
import type { Entry, MappingNode, Node, ScalarNode, ScalarType, SequenceNode } from "./node.ts";
import type { Span } from "./position.ts";
import { type Details, diagnostic, related } from "./report.ts";
import { scalarType } from "./scalar_type.ts";
import { hiddenIn, needlessEscape } from "./hidden.ts";
import { directivesOf, documentStretches, shifted, type Stretch } from "./yaml_documents.ts";

/** Collections inside each other. */
export const MAX_DEPTH = 32;
/** Nodes that all aliases of a file together may stand for. */
export const MAX_ALIASED_NODES = 10_000;

/** What is in one file. */
export interface ParsedFile {
  /** In order; those are left out of which the syntax is broken. */
  readonly documents: readonly Node[];
  /** Documents that lack a part: whatever else would be told of them would be its echo. */
  readonly maimed: ReadonlySet<Node>;
  /** Documents in which a key stands twice: what seems to be absent may be under the second. */
  readonly doubled: ReadonlySet<Node>;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Parses one file.
 *
 * @param text without byte order mark
 * @param lines of the same text
 *
 * @example
 * ```ts
 * import { LineMap } from "./lines.ts";
 * import { parseYaml } from "./yaml.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "kind: ExportPolicy\n";
 * assert.equal(parseYaml(text, new LineMap("a.yaml", text)).documents.length, 1);
 * ```
 */
export function parseYaml(text: string, lines: LineMap): ParsedFile {
  const builder = new TreeBuilder(text, lines);
  const whole = eventsOf(text);
  const { parts, broken } = whole.ok
    ? { parts: [{ start: 0, end: text.length, events: whole.events }], broken: [] }
    : byDocument(text, whole, lines);
  for (const { start, events } of parts) {
    builder.startAt(start);
    for (const event of events) builder.take(event);
  }
  return {
    documents: builder.documents,
    maimed: builder.maimed,
    doubled: builder.doubled,
    diagnostics: [...broken, ...builder.problems, ...directives(parts, text, lines)],
  };
}

type Parsed =
  | { readonly ok: true; readonly events: readonly Event[] }
  | { readonly ok: false; readonly error: YAMLException };

function eventsOf(text: string): Parsed {
  try {
    return { ok: true, events: parseEvents(text, { maxDepth: MAX_DEPTH }) };
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    return { ok: false, error };
  }
}

/** What can be read. */
interface Part extends Stretch {
  readonly events: readonly Event[];
}

/** What can be read of a file is read document by document, so that each tells its own mistake. */
function byDocument(
  text: string,
  { error }: Extract<Parsed, { ok: false }>,
  lines: LineMap,
): {
  readonly parts: readonly Part[];
  readonly broken: readonly Diagnostic[];
} {
  const read = documentStretches(text).map((stretch) => ({
    stretch,
    parsed: eventsOf(text.slice(stretch.start, stretch.end)),
  }));
  const broken = read.flatMap(({ stretch, parsed }) =>
    parsed.ok ? [] : [syntaxError(parsed.error, stretch, text, lines)]
  );
  // What is wrong with the whole only is wrong all the same.
  const all = { start: 0, end: text.length };
  if (broken.length === 0) return { parts: [], broken: [syntaxError(error, all, text, lines)] };
  const parts = read.flatMap(({ stretch, parsed }) =>
    parsed.ok ? [{ ...stretch, events: shifted(parsed.events, stretch.start) }] : []
  );
  return { parts, broken };
}

function syntaxError(
  error: YAMLException,
  { start, end }: Stretch,
  text: string,
  lines: LineMap,
): Diagnostic {
  const offset = Math.min(start + (error.mark?.position ?? 0), end);
  const at = lines.span(offset, Math.min(oneCharacter(text, offset), end));
  const deep = error.reason.startsWith("nesting exceeded");
  const message = deep
    ? `Cannot read the policy: more than ${MAX_DEPTH} collections inside each other`
    : `Cannot read the policy: ${error.reason}`;
  return diagnostic(deep ? "BG1005" : "BG1004", at, message);
}

/** The end of the character at `offset`, so that a frame has something to underline. */
function oneCharacter(text: string, offset: number): number {
  return offset < text.length && !"\r\n".includes(text[offset] ?? "") ? offset + 1 : offset;
}

/** `%YAML 1.2` only says what policies are. */
const KNOWN_DIRECTIVE = /^%YAML[ \t]+1\.2(?![0-9])/;

/**
 * Finds directives other than `%YAML 1.2`. Events tell of some only, and carry no place for them.
 *
 * @param parts of the text that can be read
 */
function directives(parts: readonly Stretch[], text: string, lines: LineMap): Diagnostic[] {
  return parts.flatMap((part) =>
    directivesOf(text.slice(part.start, part.end)).flatMap(({ start, end }) => {
      const line = text.slice(part.start + start, part.start + end);
      if (KNOWN_DIRECTIVE.test(line)) return [];
      const at = lines.span(part.start + start, part.start + end);
      return diagnostic("BG1012", at, `Cannot accept the directive ${JSON.stringify(line)}`);
    })
  );
}

/** Where the line ends that `from` is in. */
function lineEnd(text: string, from: number): number {
  const at = text.indexOf("\n", from);
  return at < 0 ? text.length : at;
}

/** After these, parts of the tree are missing. */
function hidesMeaning({ code }: Diagnostic): boolean {
  return ["BG1008", "BG1009", "BG1010", "BG1011"].includes(code);
}

/** A collection whose end has not come yet. */
interface Frame {
  readonly kind: "document" | "sequence" | "mapping";
  readonly start: number;
  readonly flow: boolean;
  readonly anchor: string | undefined;
  readonly items: Node[];
  readonly entries: Map<string, Entry>;
  /** A key that waits for its value. */
  key: Node | undefined;
  /** Where the last child ended. */
  end: number;
  /** Nodes in here, aliases expanded. */
  weight: number;
}

const CORE_TAGS: Readonly<Record<string, ScalarType | "map" | "seq">> = {
  "!!str": "string",
  "!!int": "integer",
  "!!float": "float",
  "!!bool": "boolean",
  "!!null": "null",
  "!!map": "map",
  "!!seq": "seq",
};

/** Turns the parser's flat list of events into trees. */
class TreeBuilder {
  readonly documents: Node[] = [];
  readonly maimed = new Set<Node>();
  readonly doubled = new Set<Node>();
  readonly problems: Diagnostic[] = [];
  /** Where what is parsed now starts: what is before it belongs to no document to come. */
  #from = 0;
  /** Problems before the document that is open. */
  #before = 0;
  readonly #text: string;
  readonly #lines: LineMap;
  readonly #stack: Frame[] = [];
  readonly #anchors = new Map<string, { readonly node: Node; readonly weight: number }>();
  /** Where each anchor of the document is defined first. */
  readonly #anchorPlaces = new Map<string, Span>();
  #aliased = 0;

  constructor(text: string, lines: LineMap) {
    this.#text = text;
    this.#lines = lines;
  }

  /** What follows is read from here on. */
  startAt(offset: number): void {
    this.#from = offset;
  }

  take(event: Event): void {
    switch (event.type) {
      case EVENT_ID.DOCUMENT:
        this.#before = this.problems.length;
        this.#anchors.clear();
        this.#anchorPlaces.clear();
        this.#open("document", this.#documentStart(event.explicitStart), false, undefined);
        break;
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING:
        this.#openCollection(event);
        break;
      case EVENT_ID.SCALAR:
        this.#scalar(event);
        break;
      case EVENT_ID.ALIAS:
        this.#alias(event);
        break;
      case EVENT_ID.POP:
        this.#close();
        break;
    }
  }

  /** Behind its `---`, or where the document before ended. */
  #documentStart(explicit: boolean): number {
    const from = Math.max(this.documents.at(-1)?.end ?? 0, this.#from);
    if (!explicit) return from;
    const marker = /^---(?![^\s])/gm;
    marker.lastIndex = from;
    return marker.test(this.#text) ? marker.lastIndex : from;
  }

  #report(code: Code, at: Span, message: string, details?: Details): void {
    this.problems.push(diagnostic(code, at, message, details));
  }

  #open(kind: Frame["kind"], start: number, flow: boolean, anchor: string | undefined): void {
    const frame: Frame = {
      kind,
      start,
      flow,
      anchor,
      items: [],
      entries: new Map(),
      key: undefined,
      end: start + (flow ? 1 : 0),
      weight: 1,
    };
    this.#stack.push(frame);
  }

  #openCollection(event: SequenceEvent | MappingEvent): void {
    const kind = event.type === EVENT_ID.MAPPING ? "mapping" : "sequence";
    this.#checkTag(event, kind === "mapping" ? "map" : "seq");
    this.#open(kind, event.start, event.style === COLLECTION_STYLE.FLOW, this.#anchorOf(event));
  }

  #close(): void {
    const frame = this.#stack.pop();
    if (frame === undefined) return;
    if (frame.kind === "document") {
      const [root] = frame.items;
      if (root === undefined) return;
      this.documents.push(root);
      const problems = this.problems.slice(this.#before);
      if (problems.some(hidesMeaning)) this.maimed.add(root);
      if (problems.some(({ code }) => code === "BG1006")) this.doubled.add(root);
      return;
    }
    const end = frame.flow ? this.#closingBracket(frame.end) : frame.end;
    const node: MappingNode | SequenceNode = frame.kind === "mapping"
      ? { kind: "mapping", start: frame.start, end, flow: frame.flow, entries: frame.entries }
      : { kind: "sequence", start: frame.start, end, items: frame.items };
    this.#add(node, end, frame.weight, frame.anchor);
  }

  /** Between the last item and the bracket only blanks, commas and comments can stand. */
  #closingBracket(from: number): number {
    // Character by character: one expression for all of them takes stack for each.
    const other = /[^\s,?:]/g;
    let at = from;
    while (at < this.#text.length) {
      other.lastIndex = at;
      const end = other.test(this.#text) ? other.lastIndex : this.#text.length;
      if (this.#text[end - 1] !== "#") return end;
      at = lineEnd(this.#text, end);
    }
    return this.#text.length;
  }

  #scalar(event: ScalarEvent): void {
    const [start, end] = this.#scalarRange(event);
    const plain = event.style === SCALAR_STYLE.PLAIN;
    const text = event.valueStart < 0 ? "" : getScalarValue(this.#text, event);
    const resolved = plain ? scalarType(text) : "string";
    const type = this.#tagged(event, resolved);
    if (event.style === SCALAR_STYLE.DOUBLE_QUOTED) this.#checkEscapes(text, start, end);
    const node: ScalarNode = { kind: "scalar", start, end, text, plain, type };
    this.#add(node, end, 1, this.#anchorOf(event));
  }

  /** An escape can hide what the character itself could not. */
  #checkEscapes(text: string, start: number, end: number): void {
    const hidden = hiddenIn(text).next().value;
    if (hidden !== undefined) {
      const message =
        `Cannot accept a hidden or control character by its escape (received ${hidden.name})`;
      this.#report("BG1003", this.#lines.span(start, end), message);
    }
    const escape = needlessEscape(this.#text.slice(start, end));
    if (escape === undefined) return;
    const at = this.#lines.span(start + escape.start, start + escape.end);
    const [why, fix] = escape.character === undefined
      ? ["the line ends inside a word", "write the word in one line"]
      : [`it stands for ${escape.character}`, `write ${escape.character} itself`];
    this.#report("BG1015", at, `Cannot accept an escape that hides a word: ${why}`, { fix });
  }

  /** With quotes; an empty value stands right behind what came before it. */
  #scalarRange(event: ScalarEvent): readonly [number, number] {
    if (event.valueStart < 0) {
      const after = Math.max(this.#top()?.end ?? 0, event.tagEnd, event.anchorEnd);
      return [after, after];
    }
    const quoted = event.style === SCALAR_STYLE.SINGLE_QUOTED ||
      event.style === SCALAR_STYLE.DOUBLE_QUOTED;
    const block = event.style === SCALAR_STYLE.LITERAL_BLOCK ||
      event.style === SCALAR_STYLE.FOLDED_BLOCK;
    if (block) return this.#blockRange(event);
    const quote = quoted ? 1 : 0;
    return [event.valueStart - quote, event.valueEnd + quote];
  }

  /** Without the indentation of its first line and the ends of its last. */
  #blockRange({ valueStart, valueEnd }: ScalarEvent): readonly [number, number] {
    const lines = this.#text.slice(valueStart, valueEnd);
    const text = lines.trimStart();
    if (text === "") return [valueStart, valueStart];
    return [valueEnd - text.length, valueStart + lines.trimEnd().length];
  }

  #tagged(event: ScalarEvent, resolved: ScalarType): ScalarType {
    const tag = this.#tagOf(event);
    if (tag === undefined || CORE_TAGS[tag] === resolved) return resolved;
    if (CORE_TAGS[tag] === "string" || tag === "!") return "string";
    this.#checkTag(event, resolved);
    return resolved;
  }

  #checkTag(event: ScalarEvent | SequenceEvent | MappingEvent, expected: string): void {
    const tag = this.#tagOf(event);
    if (tag === undefined || tag === "!" || CORE_TAGS[tag] === expected) return;
    const at = this.#lines.span(event.tagStart, event.tagEnd);
    const why = tag in CORE_TAGS ? `the value is no ${tag}` : "policies have no such tag";
    this.#report("BG1007", at, `Cannot accept the tag: ${why} (received ${tag})`);
  }

  #tagOf(event: ScalarEvent | SequenceEvent | MappingEvent): string | undefined {
    return event.tagStart < 0 ? undefined : this.#text.slice(event.tagStart, event.tagEnd);
  }

  #anchorOf(event: ScalarEvent | SequenceEvent | MappingEvent): string | undefined {
    if (event.anchorStart < 0) return undefined;
    const name = this.#text.slice(event.anchorStart, event.anchorEnd);
    const at = this.#lines.span(event.anchorStart - 1, event.anchorEnd);
    const first = this.#anchorPlaces.get(name);
    if (first === undefined) this.#anchorPlaces.set(name, at);
    else {
      const message = `Cannot accept an anchor twice in a document (received &${name})`;
      this.#report("BG1016", at, message, { related: [related(first, "first here")] });
    }
    return name;
  }

  #alias(event: AliasEvent): void {
    const name = this.#text.slice(event.anchorStart, event.anchorEnd);
    const at = this.#lines.span(event.anchorStart - 1, event.anchorEnd);
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.#report(
        "BG1008",
        at,
        `Cannot resolve the alias: no complete anchor before it (received *${name})`,
      );
    } else {
      this.#aliased += target.weight;
      if (this.#aliased <= MAX_ALIASED_NODES) {
        const place = { start: event.anchorStart - 1, end: event.anchorEnd };
        this.#add(aliased(target.node, place), event.anchorEnd, target.weight, undefined);
        return;
      }
      this.#report(
        "BG1009",
        at,
        `Cannot expand the alias: aliases stand for more than ${MAX_ALIASED_NODES} values (received *${name})`,
      );
    }
    this.#add(this.#nothing(event), event.anchorEnd, 1, undefined);
  }

  /** Stands where a value could not be had; the mistake has been told. */
  #nothing(event: AliasEvent): ScalarNode {
    const [start, end] = [event.anchorStart - 1, event.anchorEnd];
    return { kind: "scalar", start, end, text: "", plain: true, type: "null" };
  }

  #top(): Frame | undefined {
    return this.#stack.at(-1);
  }

  #add(node: Node, end: number, weight: number, anchor: string | undefined): void {
    if (anchor !== undefined) this.#anchors.set(anchor, { node, weight });
    const parent = this.#top();
    if (parent === undefined) return;
    parent.end = Math.max(parent.end, end);
    parent.weight += weight;
    if (parent.kind !== "mapping") {
      parent.items.push(node);
    } else if (parent.key === undefined) {
      parent.key = node;
      // An empty value stands behind the colon, not on the key.
      parent.end = this.#afterColon(parent.end);
    } else {
      this.#pair(parent, parent.key, node);
      parent.key = undefined;
    }
  }

  #afterColon(from: number): number {
    const colon = /[ \t]*:/y;
    colon.lastIndex = from;
    return colon.test(this.#text) ? colon.lastIndex : from;
  }

  #pair(parent: Frame, key: Node, value: Node): void {
    if (key.kind !== "scalar" || key.type === "null") {
      this.#reportKey("BG1011", key, "Cannot accept the key: it is not a name");
    } else if (key.plain && key.text === "<<") {
      this.#reportKey("BG1010", key, "Cannot accept a merge key (received <<)");
    } else {
      const first = parent.entries.get(key.text);
      if (first === undefined) parent.entries.set(key.text, { key, value });
      else this.#reportTwice(key, first.key);
    }
  }

  #reportKey(code: Code, key: Node, message: string, details?: Details): void {
    this.#report(code, this.#lines.spanOf(key), message, details);
  }

  #reportTwice(key: ScalarNode, first: ScalarNode): void {
    const place = related(this.#lines.spanOf(first), "first here");
    const message = `Cannot accept the key twice (received ${key.text})`;
    this.#reportKey("BG1006", key, message, { related: [place] });
  }
}
