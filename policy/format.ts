/**
 * The canonical form of policy files: keys in the order of the reference, two blanks of indentation,
 * brackets only around what is short. Comments, blank lines and the spelling of values stay; only a
 * text over several lines may be on fewer afterwards.
 *
 * @module
 */
import {
  type Document,
  isMap,
  isNode,
  isPair,
  isScalar,
  Lexer,
  type Pair,
  parseAllDocuments,
  type ParsedNode,
  type Scalar,
  visit,
  type visitor,
  type YAMLMap,
} from "yaml";
import { hiddenIn } from "./hidden.ts";
import { LineMap } from "./lines.ts";
import type { Node } from "./node.ts";
import { type DocumentKind, generalPath, SHAPES } from "./shape.ts";
import { parseYaml } from "./yaml.ts";

/** A formatted text, or why there is none. */
export type FormatResult =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly why: string };

/** Where a comment moves, what it moves to may look different a second time, and then no more. */
const MAX_ROUNDS = 4;
/** Longest list or mapping that stays in brackets, characters that are not blank. */
const MAX_FLOW = 80;

/**
 * Formats one file.
 *
 * @param text of a file whose YAML is valid; its rules need not be
 * @returns the canonical text; none when comments or meaning would not survive, which is checked
 * with the parser that decides
 *
 * @example
 * ```ts
 * import { formatPolicy } from "./format.ts";
 * import assert from "node:assert/strict";
 *
 * const formatted = formatPolicy("kind:   ExportPolicy # what it is\napiVersion: bargate/v1\n");
 * assert.ok(formatted.ok);
 * assert.equal(formatted.text, "apiVersion: bargate/v1\nkind: ExportPolicy # what it is\n");
 * ```
 */
export function formatPolicy(text: string): FormatResult {
  let before = text;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = tryToFormat(before);
    if (!result.ok || result.text === before) return result;
    before = result.text;
  }
  return { ok: false, why: "no form of it stays the same when formatted again" };
}

/** What the library cannot print is told of this file: others may be formatted all the same. */
function tryToFormat(text: string): FormatResult {
  try {
    return formatOnce(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ok: false, why: `it cannot be written again: ${why}` };
  }
}

function formatOnce(text: string): FormatResult {
  const readable = text.replace(/^\ufeff/, "");
  if (!hiddenIn(readable).next().done) return { ok: false, why: "it has a hidden character" };
  const source = readable.replace(/\r\n/g, "\n");
  // As text, every scalar keeps its spelling: 64-bit numbers would lose digits otherwise.
  if (parseYaml(source, new LineMap("", source)).diagnostics.length > 0) {
    return { ok: false, why: "its YAML is not valid" };
  }
  const documents = parseAllDocuments(source, { schema: "failsafe" });
  if (documents.length === 0 || documents.some(({ contents }) => isEmpty(contents))) {
    return { ok: false, why: "a document of it is empty" };
  }
  if (documents.some(({ errors }) => errors.length > 0)) {
    return { ok: false, why: "its YAML is not valid to all readers" };
  }
  if (documents.some(hasKeyWithoutValue)) return { ok: false, why: "a key of it has no value" };
  documents.forEach((document) => arrange(document, source));
  const formatted = withoutPadding(documents.map(printDocument).join(""));
  if (meaningOf(source) !== meaningOf(formatted)) {
    return { ok: false, why: "it would not mean the same afterwards" };
  }
  if (commentsOf(source) !== commentsOf(formatted)) {
    return { ok: false, why: "a comment of it would be lost" };
  }
  return { ok: true, text: formatted };
}

/** `{ a }` has a key and nothing else, which could not be written again. */
function hasKeyWithoutValue(document: Document.Parsed): boolean {
  let found = false;
  visit(document, {
    Pair(_, { key, value }) {
      found ||= key === null || value === null;
    },
  });
  return found;
}

function printDocument(document: Document.Parsed, index: number): string {
  if (index > 0 && document.directives !== undefined) document.directives.docStart = true;
  return document.toString({ indent: 2, lineWidth: 0 });
}

/** Lists have no blanks inside their brackets, mappings have. */
function withoutPadding(text: string): string {
  const tokens = [...new Lexer().lex(text)];
  return tokens.filter((token, index) => {
    const inside = tokens[index - 1] === "[" || tokens[index + 1] === "]";
    return !(token === " " && inside) && !LEXER_MARKS.has(token);
  }).join("");
}

/** Tokens that mark places and have no text. */
const LEXER_MARKS: ReadonlySet<string> = new Set(["\x02", "\x18", "\x1f", "\ufeff"]);

function isEmpty(contents: ParsedNode | null): boolean {
  return contents === null || (isScalar(contents) && contents.value === null) ||
    (isScalar(contents) && contents.value === "" && contents.type === "PLAIN");
}

function arrange(document: Document.Parsed, source: string): void {
  visit(document, {
    Collection(_, node) {
      if (node.flow && !fitsOnLine(node, source)) node.flow = false;
    },
  });
  const root = document.contents;
  if (root === null || !isMap(root)) return;
  const kind = root.get("kind", true)?.toString();
  const known = kind === "PolicySet" || kind === "PolicyTest" ? kind : "ExportPolicy";
  sortMap(root, [], known);
}

/** By what is not blank, which formatting does not change. */
function fitsOnLine({ range }: { range?: readonly number[] | null }, source: string): boolean {
  const [start = 0, end = 0] = range ?? [];
  const text = source.slice(start, end);
  if (/#[^\n]*\n/.test(text)) return false;
  return text.replace(/\s+/g, "").replace(/,(?=[\]}])/g, "").length <= MAX_FLOW;
}

function sortMap(map: YAMLMap.Parsed, path: readonly string[], kind: DocumentKind): void {
  for (const { key, value } of map.items) sortBelow(value, [...path, keyText(key)], kind);
  const order = SHAPES[kind].get(generalPath(path))?.keys;
  // A comment before the first key belongs to it, but is kept with the mapping.
  if (order === undefined || map.commentBefore) return;
  const before = [...map.items];
  map.items.sort((a, b) => rank(a, order) - rank(b, order));
  if (map.items.some((item, index) => standsForLater(item, map.items.slice(index + 1)))) {
    map.items.splice(0, before.length, ...before);
    return;
  }
  const [was, is] = [before[0], map.items[0]];
  if (was === is || !isScalar(was?.key) || !isScalar(is?.key)) return;
  moveBlankLine(was.key, is.key);
  if (path.length === 0) keepHeader(was.key, is.key);
}

/** Whether an alias is in it whose anchor would come later: such a text could not be read. */
function standsForLater(item: Pair, later: readonly Pair[]): boolean {
  const aliases = new Set<string>();
  visitPair(item, { Alias: (_, { source }) => void aliases.add(source) });
  if (aliases.size === 0) return false;
  let found = false;
  const look = (_: unknown, { anchor }: { anchor?: string }) => {
    found ||= anchor !== undefined && aliases.has(anchor);
  };
  for (const pair of later) visitPair(pair, { Scalar: look, Collection: look });
  return found;
}

function visitPair({ key, value }: Pair, visitor: visitor): void {
  for (const node of [key, value]) if (isNode(node)) visit(node, visitor);
}

/** The first key has no blank line before it, whichever that is: it goes to the one that was first. */
function moveBlankLine(was: Scalar, is: Scalar): void {
  if (is.spaceBefore) was.spaceBefore = true;
  is.spaceBefore = false;
}

/**
 * What a document begins with is about all of it, and stays there. Where a blank line parts it, only
 * what is before that.
 */
function keepHeader(was: Scalar, is: Scalar): void {
  const comment = was.commentBefore;
  if (!comment) return;
  const blank = comment.lastIndexOf("\n\n");
  const [header, own] = blank < 0
    ? [comment, null]
    : [`${comment.slice(0, blank)}\n`, comment.slice(blank + 2)];
  was.commentBefore = own;
  is.commentBefore = is.commentBefore ? `${header.trimEnd()}\n\n${is.commentBefore}` : header;
}

function sortBelow(node: ParsedNode | null, path: readonly string[], kind: DocumentKind): void {
  if (node === null || !("items" in node)) return;
  if (isMap(node)) return sortMap(node, path, kind);
  node.items.forEach((item, index) => {
    if (!isPair(item)) sortBelow(item, [...path, String(index)], kind);
  });
}

function keyText(key: ParsedNode): string {
  return isScalar(key) ? String(key.value) : "";
}

/** Keys that are not of the language stay behind those that are, in their own order. */
function rank({ key }: Pair<ParsedNode>, order: readonly string[]): number {
  const at = order.indexOf(keyText(key));
  return at < 0 ? order.length : at;
}

/** Equal for texts that the main parser reads alike, wherever their keys stand. */
function meaningOf(text: string): string {
  const { documents, diagnostics } = parseYaml(text, new LineMap("", text));
  const codes = diagnostics.map(({ code }) => code).sort();
  return JSON.stringify([documents.map(nodeForm), codes]);
}

function nodeForm(node: Node): unknown {
  switch (node.kind) {
    case "scalar":
      return [node.type, node.text];
    case "sequence":
      return node.items.map(nodeForm);
    case "mapping":
      return {
        entries: [...node.entries].map(([key, { value }]) => [key, nodeForm(value)])
          .sort(([a], [b]) => String(a) < String(b) ? -1 : 1),
      };
  }
}

/** All comments, sorted: keys may have taken theirs with them. */
function commentsOf(text: string): string {
  const comments = [...new Lexer().lex(text)].filter((token) => token.startsWith("#"));
  return comments.map((comment) => comment.trimEnd()).sort().join("\n");
}
