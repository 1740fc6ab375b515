/**
 * Whether every function that has one match has another as well: then what is said of the wider one
 * is said of the narrower, on every host.
 *
 * @module
 */
import type { DeviceMatch } from "./model.ts";

/** The fields of a match; absent and empty mean the same. */
export type MatchFields = Partial<Omit<DeviceMatch, "at">>;

/** The fields of which a function has one value each: `class` and `barSizes` are the others. */
export const SINGLE = [
  "id",
  "address",
  "subsystem",
  "serial",
  "driver",
  "iommuGroup",
  "numaNode",
] as const;

/**
 * @param narrow match of one device
 * @param wide match of another
 * @returns whether `wide` asks for nothing that `narrow` does not ask for: each of its fields is in
 * `narrow` too, with no value there that it has not
 *
 * @example
 * ```ts
 * import { implies } from "./match_implies.ts";
 *
 * const card = { id: ["1b36:0010"] };
 * const slot = { id: ["1b36:0010"], address: ["0000:03:00.0"] };
 * if (!implies(slot, card)) throw new Error("the card in a slot is that card");
 * if (implies(card, slot)) throw new Error("the card may be in another slot");
 * ```
 */
export function implies(narrow: MatchFields, wide: MatchFields): boolean {
  return SINGLE.every((field) =>
    within<string | number>(narrow[field], wide[field], (x, y) => x === y)
  ) &&
    within(narrow.class, wide.class, (code, prefix) => code.startsWith(prefix)) &&
    [...wide.barSizes ?? []].every(([bar, sizes]) =>
      within(narrow.barSizes?.get(bar), sizes, (x, y) => x === y)
    );
}

function within<T>(
  narrow: readonly T[] = [],
  wide: readonly T[] = [],
  isOf: (value: T, among: T) => boolean,
): boolean {
  if (wide.length === 0) return true;
  return narrow.length > 0 && narrow.every((value) => wide.some((among) => isOf(value, among)));
}
