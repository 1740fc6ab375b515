/**
 * The tree of a YAML document with the place of everything in it.
 *
 * @module
 */

/** `[start, end)` in the text. */
export interface Range {
  readonly start: number;
  readonly end: number;
  /** Where the text is, of what stands here by an alias. */
  readonly written?: { readonly start: number; readonly end: number };
}

/** How the YAML 1.2 core schema reads a scalar. */
export type ScalarType = "string" | "integer" | "float" | "boolean" | "null";

/** Text, number, boolean or null. The text stays as written, so that 64 bits stay exact. */
export interface ScalarNode extends Range {
  readonly kind: "scalar";
  readonly type: ScalarType;
  /** The value's text, without quotes and with escapes undone. */
  readonly text: string;
  /** Written without quotes. */
  readonly plain: boolean;
}

/** A list. */
export interface SequenceNode extends Range {
  readonly kind: "sequence";
  readonly items: readonly Node[];
}

/** One `key: value`. */
export interface Entry {
  readonly key: ScalarNode;
  readonly value: Node;
}

/** Keys and values, in the order written, each key once. */
export interface MappingNode extends Range {
  readonly kind: "mapping";
  /** Written with braces. */
  readonly flow: boolean;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** Any value of a document. */
export type Node = ScalarNode | SequenceNode | MappingNode;

/** The node as a mapping, absent when it is none. */
export function asMapping(node: Node | undefined): MappingNode | undefined {
  return node?.kind === "mapping" ? node : undefined;
}

/** The items of a list, none when the node is no list. */
export function itemsOf(node: Node | undefined): readonly Node[] {
  return node?.kind === "sequence" ? node.items : [];
}

/** A list's items, or the one value that stands for a list of one. */
export function oneOrMany(node: Node | undefined): readonly Node[] {
  if (node === undefined) return [];
  return node.kind === "sequence" ? node.items : [node];
}

/** The node as a scalar, absent when it is none. */
export function asScalar(node: Node | undefined): ScalarNode | undefined {
  return node?.kind === "scalar" ? node : undefined;
}

/** The value of a key, absent when the node is no mapping or has no such key. */
export function get(node: Node | undefined, key: string): Node | undefined {
  return asMapping(node)?.entries.get(key)?.value;
}

/** All entries of a mapping, none when the node is no mapping. */
export function entriesOf(node: Node | undefined): readonly Entry[] {
  return [...(asMapping(node)?.entries.values() ?? [])];
}

/**
 * The plain JavaScript value of a node, as a JSON Schema validator wants it. Integers beyond 2^53
 * lose digits here; meaning is always taken from the text.
 */
export function toPlain(node: Node): unknown {
  switch (node.kind) {
    case "scalar":
      return scalarValue(node);
    case "sequence":
      return node.items.map(toPlain);
    case "mapping":
      return mappingValue(node);
  }
}

function scalarValue(node: ScalarNode): unknown {
  switch (node.type) {
    case "string":
      return node.text;
    case "integer":
      return Number(node.text);
    case "float":
      // Only its type matters: no part of the language takes a fraction.
      return 0.5;
    case "boolean":
      return node.text.toLowerCase() === "true";
    case "null":
      return null;
  }
}

function mappingValue(node: MappingNode): unknown {
  // Without a prototype, a key named __proto__ is a key like any other.
  const value: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of node.entries) value[key] = toPlain(entry.value);
  return value;
}
