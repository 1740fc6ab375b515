/**
 * What an alias stands for, as a tree of its own: whatever is wrong with it is wrong where the alias
 * stands, and the value is written at the anchor.
 *
 * @module
 */
import type { Entry, Node, Range, ScalarNode } from "./node.ts";

/**
 * A copy of a tree in which everything stands at one place.
 *
 * @param node what the anchor names
 * @param place of the alias
 */
export function aliased(node: Node, place: Range): Node {
  switch (node.kind) {
    case "scalar":
      return scalarAt(node, place);
    case "sequence":
      return { ...node, ...at(node, place), items: node.items.map((one) => aliased(one, place)) };
    case "mapping":
      return { ...node, ...at(node, place), entries: entriesAt(node.entries, place) };
  }
}

function entriesAt(entries: ReadonlyMap<string, Entry>, place: Range): ReadonlyMap<string, Entry> {
  return new Map(
    [...entries].map(([name, { key, value }]) => [
      name,
      { key: scalarAt(key, place), value: aliased(value, place) },
    ]),
  );
}

function scalarAt(node: ScalarNode, place: Range): ScalarNode {
  return { ...node, ...at(node, place) };
}

/** Through an alias of an alias, too, it is told where the text is. */
function at({ start, end, written }: Range, place: Range): Range {
  return { start: place.start, end: place.end, written: written ?? { start, end } };
}
