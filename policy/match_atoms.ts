/**
 * What two matches have in common, and the kinds of functions that a match stands for.
 *
 * @module
 */
import { type MatchFields, SINGLE } from "./match_implies.ts";

type Value = string | number | bigint;
/** By field, `class` among them, or by BAR. */
type Values = ReadonlyMap<string | number, readonly Value[]>;

/** Of a match that stands for more than these, they are not told apart. */
const MOST_ATOMS = 64;

/**
 * @returns the match of every function that has both; absent: no function has
 *
 * @example
 * ```ts
 * import { common } from "./match_atoms.ts";
 * import assert from "node:assert/strict";
 *
 * const both = common({ id: ["1b36:0010"], class: ["01"] }, { class: ["0108", "0300"] });
 * assert.deepEqual([both?.id, both?.class], [["1b36:0010"], ["0108"]]);
 * ```
 */
export function common(a: MatchFields, b: MatchFields): MatchFields | undefined {
  const [first, second] = [valuesOf(a), valuesOf(b)];
  const fields = new Set([...first.keys(), ...second.keys()]);
  const both = new Map([...fields].map((field) => [
    field,
    commonValues(field, first.get(field), second.get(field)),
  ]));
  return [...both.values()].some(({ length }) => length === 0) ? undefined : matchOf(both);
}

/**
 * Takes the lists of a match apart.
 *
 * @returns a match for each choice of one value from each list: whatever has only one value in each
 * field is in another match wholly, or not for certain. The match itself, where these were too many
 *
 * @example
 * ```ts
 * import { atoms } from "./match_atoms.ts";
 *
 * if (atoms({ id: ["a", "b"], numaNode: [0, 1] }).length !== 4) throw new Error("two by two");
 * ```
 */
export function atoms(match: MatchFields): readonly MatchFields[] {
  const values = valuesOf(match);
  const count = [...values.values()].reduce((product, { length }) => product * length, 1);
  if (count === 1 || count > MOST_ATOMS) return [match];
  let chosen: ReadonlyMap<string | number, readonly Value[]>[] = [new Map()];
  for (const [field, list] of values) {
    chosen = chosen.flatMap((one) => list.map((value) => new Map([...one, [field, [value]]])));
  }
  return chosen.map(matchOf);
}

function valuesOf(match: MatchFields): Values {
  const lists = [...SINGLE, "class" as const].map((field) => [field, match[field] ?? []] as const);
  const all: (readonly [string | number, readonly Value[]])[] = [
    ...lists,
    ...match.barSizes ?? [],
  ];
  return new Map(
    all.filter(([, list]) => list.length > 0).map(([field, list]) => [field, [...new Set(list)]]),
  );
}

function matchOf(values: Values): MatchFields {
  const bars = [...values].filter(([field]) => typeof field === "number");
  return {
    ...Object.fromEntries([...values].filter(([field]) => typeof field === "string")),
    ...(bars.length === 0 ? {} : { barSizes: new Map(bars as [number, bigint[]][]) }),
  };
}

function commonValues(
  field: string | number,
  a: readonly Value[] | undefined,
  b: readonly Value[] | undefined,
): readonly Value[] {
  if (a === undefined || b === undefined) return a ?? b ?? [];
  if (field !== "class") return a.filter((value) => b.includes(value));
  const [first, second] = [a.map(String), b.map(String)];
  const inSecond = first.filter((code) => second.some((prefix) => code.startsWith(prefix)));
  const inFirst = second.filter((code) => first.some((prefix) => code.startsWith(prefix)));
  return [...new Set([...inSecond, ...inFirst])];
}
