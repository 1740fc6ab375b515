/**
 * Who a process must be, without the places where a policy says so.
 *
 * @module
 */
import type { ImporterIdentity, OwnerIdentity, Placed } from "../policy/model.ts";

/** In which order fields are told, however they are written. */
const FIELDS = [
  "user",
  "group",
  "unit",
  "cgroup",
  "pidFile",
  "socket",
  "executable",
  "sha256",
] as const;

/**
 * @param identity of an importer or an owner
 * @returns the fields that are given, in one order
 *
 * @example
 * ```ts
 * import { plainIdentity } from "./plain_identity.ts";
 *
 * const at = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
 * const identity = plainIdentity({ user: { value: "nobody", at } });
 * if (JSON.stringify(identity) !== `{"user":"nobody"}`) throw new Error("wrong");
 * ```
 */
export function plainIdentity(
  identity: ImporterIdentity | OwnerIdentity,
): Readonly<Record<string, string>> {
  const placed: Readonly<Partial<Record<typeof FIELDS[number], Placed<string>>>> = identity;
  return Object.fromEntries(FIELDS.flatMap((field) => {
    const value = placed[field]?.value;
    return value === undefined ? [] : [[field, value]];
  }));
}
