/**
 * Whether two matches could mean one function. Without a host nobody knows that they do; that they
 * cannot is seen where they contradict each other.
 *
 * @module
 */
import { type MatchFields, SINGLE } from "./match_implies.ts";

/**
 * @param a match of one device
 * @param b match of another
 * @returns false only if no function can match both
 *
 * @example
 * ```ts
 * import { mayBeSame } from "./may_be_same.ts";
 *
 * const slot = { address: ["0000:03:00.0"] };
 * if (!mayBeSame(slot, { id: ["144d:a80a"] })) throw new Error("that card may be in that slot");
 * if (mayBeSame(slot, { address: ["0000:04:00.0"] })) throw new Error("two slots");
 * ```
 */
export function mayBeSame(a: MatchFields, b: MatchFields): boolean {
  return SINGLE.every((field) => meet<string | number>(a[field], b[field], (x, y) => x === y)) &&
    meet(a.class, b.class, (x, y) => x.startsWith(y) || y.startsWith(x)) &&
    [...a.barSizes ?? []].every(([bar, sizes]) =>
      meet(sizes, b.barSizes?.get(bar), (x, y) => x === y)
    );
}

function meet<T>(
  a: readonly T[] = [],
  b: readonly T[] = [],
  agree: (x: T, y: T) => boolean,
): boolean {
  return a.length === 0 || b.length === 0 || a.some((x) => b.some((y) => agree(x, y)));
}
