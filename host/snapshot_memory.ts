/**
 * What NVMe controllers answered of their memory, as a snapshot has it.
 *
 * @module
 */
import type { ControllerMemory, PersistentMemory } from "./snapshot.ts";
import type { Field, SnapshotValues, TextRule } from "./snapshot_values.ts";

/** First address past 64 bits. */
const ADDRESS_END = 1n << 64n;
const MOST_BARS = 5;

const STATES = ["none", "disabled", "enabled"] as const;
const STATE: TextRule = {
  pattern: new RegExp(`^(?:${STATES.join("|")})$`),
  expected: STATES.map((word) => JSON.stringify(word)).join(" or "),
};

const STATE_FIELD: readonly [string, Field] = [
  "state",
  { required: true, read: (values) => values.word(STATES, STATE) },
];
const BAR_FIELD: readonly [string, Field] = [
  "bar",
  { required: false, read: (values) => values.integer(0, MOST_BARS) },
];
const MEMORY_FIELDS: ReadonlyMap<string, Field> = new Map([
  STATE_FIELD,
  BAR_FIELD,
  ["offset", { required: false, read: (values) => values.hex64(0n) }],
  ["size", { required: false, read: (values) => values.hex64(1n) }],
]);
const PERSISTENT_FIELDS: ReadonlyMap<string, Field> = new Map([STATE_FIELD, BAR_FIELD]);

/**
 * Where it is has a buffer that is enabled; one that is not may have it; and no other.
 *
 * @param values at the value
 * @returns undefined if it is wrong, which has been told then
 */
export function readMemory(values: SnapshotValues): ControllerMemory | undefined {
  const at = values.json.offset;
  const found = values.object(MEMORY_FIELDS) as
    | { state: ControllerMemory["state"]; bar?: number; offset?: bigint; size?: bigint }
    | undefined;
  if (found === undefined) return undefined;
  const { state, bar, offset, size } = found;
  const given = [bar, offset, size].filter((value) => value !== undefined).length;
  if (state === "none" && given === 0) return { state };
  if (state === "disabled" && given === 0) return { state };
  if (state !== "none" && bar !== undefined && offset !== undefined && size !== undefined) {
    if (offset + size <= ADDRESS_END) return { state, bar, offset, size };
  }
  values.report(
    "bad-value",
    at,
    () => `a buffer that is "${state}" has ${PLACES[state]} (received ${given} of them)`,
  );
  return undefined;
}

const WHOLE = "bar, offset and size, together within 64 bits";
const PLACES: Readonly<Record<ControllerMemory["state"], string>> = {
  none: "neither bar nor offset nor size",
  disabled: `${WHOLE}, or none of them`,
  enabled: WHOLE,
};

/**
 * A region that is there takes a BAR.
 *
 * @param values at the value
 * @returns undefined if it is wrong, which has been told then
 */
export function readPersistent(values: SnapshotValues): PersistentMemory | undefined {
  const at = values.json.offset;
  const found = values.object(PERSISTENT_FIELDS) as
    | { state: PersistentMemory["state"]; bar?: number }
    | undefined;
  if (found === undefined) return undefined;
  const { state, bar } = found;
  if (state === "none" && bar === undefined) return { state };
  if (state !== "none" && bar !== undefined) return { state, bar };
  const expected = state === "none" ? "no bar" : "a bar";
  values.report(
    "bad-value",
    at,
    () => `a region that is "${state}" has ${expected} (received ${bar ?? "none"})`,
  );
  return undefined;
}
