/**
 * Where the functions of a snapshot file stand, for what is told of them.
 *
 * @module
 */
import type { PlacedFunction } from "./snapshot_fields.ts";
import type { ValuePlace } from "./snapshot_problem.ts";

/** Functions by address, the first of each. */
export type Index = ReadonlyMap<string, PlacedFunction>;

/**
 * @param function of the file
 * @returns its JSON pointer
 */
export function pointerOf({ index }: PlacedFunction): string {
  return `/functions/${index}`;
}

/**
 * @param each a function of the file
 * @param field of it
 * @returns where that stands
 */
export function fieldOf(each: PlacedFunction, field: keyof PlacedFunction["fields"]): ValuePlace {
  return { pointer: `${pointerOf(each)}/${field}`, offset: each.fields[field] };
}
