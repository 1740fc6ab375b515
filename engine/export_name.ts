/**
 * What grants are called. A rule about one device gives each importer one grant, and the grant has
 * the rule's name; of a rule about many devices each grant says which device it is of.
 *
 * @module
 */
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceRule, ExportRule } from "../policy/model.ts";

/**
 * The qualified name of a grant's export. It is the same however many functions match, so that a
 * device more renames nothing.
 *
 * @param rule that grants
 * @param device of the rule
 * @param entry one function that the device is
 * @returns `policy/export`, or `policy/export@DDDD-BB-DD.F` where the device is one of many: colons
 * separate the names in LISTEN_FDNAMES, and no name of a policy has an `@`
 *
 * @example
 * ```ts
 * import { exportName } from "./export_name.ts";
 *
 * const named = exportName({ qualifiedName: "p/data" }, { many: true }, { address: "0000:03:00.0" });
 * if (named !== "p/data@0000-03-00.0") throw new Error(named);
 * ```
 */
export function exportName(
  { qualifiedName }: Pick<ExportRule, "qualifiedName">,
  { many }: Pick<DeviceRule, "many">,
  { address }: Pick<SnapshotFunction, "address">,
): string {
  return many === undefined ? qualifiedName : `${qualifiedName}@${address.replaceAll(":", "-")}`;
}

/**
 * The name that the importer knows a grant's buffer by: what follows the policy's name.
 *
 * @param qualified from {@linkcode exportName}
 */
export function bufferName(qualified: string): string {
  return qualified.slice(qualified.indexOf("/") + 1);
}
