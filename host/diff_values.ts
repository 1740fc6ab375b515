/**
 * What differs between two JSON values, field by field, so that nothing that a file can say twice in
 * different ways is taken for the same.
 *
 * @module
 */

/** A value as a snapshot's file has it; a list or an object that is told as a whole, as text. */
export type FieldValue = string | number | boolean;

/** One difference. */
export interface ValueDifference {
  /** The way to the value: `bars.2.size`. */
  readonly field: string;
  /** Absent: there is none in the first. */
  readonly old?: FieldValue;
  /** Absent: there is none in the second. */
  readonly new?: FieldValue;
}

type Json = Readonly<Record<string, unknown>>;

/** What an item of a list is known by: the first of these fields that it has. */
const KEYS = ["index", "field", "pid", "address", "name"] as const;

/**
 * Compares two objects.
 *
 * @param old the first, in canonical form
 * @param now the second
 * @returns differences, in the order of the fields; none exactly if their JSON is the same
 *
 * @example
 * ```ts
 * import { valueDifferences } from "./diff_values.ts";
 *
 * const [found] = valueDifferences({ cpu: undefined }, { cpu: {} });
 * if (found?.field !== "cpu" || found.new !== "{}") throw new Error("nothing is not empty");
 * ```
 */
export function valueDifferences(old: Json, now: Json): readonly ValueDifference[] {
  return differences("", old, now);
}

function differences(field: string, old: unknown, now: unknown): readonly ValueDifference[] {
  const [oldText, newText] = [JSON.stringify(old), JSON.stringify(now)];
  if (oldText === newText) return [];
  const [oldParts, newParts] = [partsOf(old), partsOf(now)];
  // What is not there has no parts; but it is not the same as what is there and empty.
  const parts = (oldParts ?? newParts) !== undefined &&
      (oldParts !== undefined || old === undefined) && (newParts !== undefined || now === undefined)
    ? diffParts(field, oldParts ?? new Map(), newParts ?? new Map())
    : [];
  return parts.length > 0 ? parts : [{ field, ...side("old", old), ...side("new", now) }];
}

type Parts = ReadonlyMap<string, unknown>;

function diffParts(field: string, old: Parts, now: Parts): readonly ValueDifference[] {
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) =>
    differences(field === "" ? name : `${field}.${name}`, old.get(name), now.get(name))
  );
}

/** By the names that they have in differences; undefined: the value is told as a whole. */
function partsOf(value: unknown): Parts | undefined {
  if (Array.isArray(value)) return value.every(isObject) ? itemsOf(value) : undefined;
  if (!isObject(value)) return undefined;
  return new Map(Object.entries(value).filter(([, part]) => part !== undefined));
}

/** Of two items with one name the second is `name#2`. */
function itemsOf(list: readonly Json[]): Parts {
  const items = new Map<string, unknown>();
  for (const item of list) {
    const key = KEYS.find((each) => item[each] !== undefined) ?? "";
    const { [key]: value, ...rest } = item;
    let name = String(value);
    for (let count = 2; items.has(name); count++) name = `${String(value)}#${count}`;
    items.set(name, key === "name" ? deviceText(rest) : rest);
  }
  return items;
}

/** `rdma.mlx5_0` is the address of its function. */
function deviceText({ function: address }: Json): unknown {
  return address ?? "no PCI function";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function side(name: "old" | "new", value: unknown): Partial<ValueDifference> {
  return value === undefined ? {} : { [name]: textOf(value) };
}

/** Words of a list stand side by side if that can mean nothing else. */
function textOf(value: unknown): FieldValue {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  const isPlain = Array.isArray(value) && value.length > 0 &&
    value.every((item) => typeof item === "string" && /^[^\s"]+$/.test(item));
  return isPlain ? value.join(" ") : JSON.stringify(value);
}
