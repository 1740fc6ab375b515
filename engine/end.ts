/**
 * Why and how grants end.
 *
 * @module
 */

/** Why a grant ended: kept, logged and sent to the importer. */
export type EndReason =
  | "policy-withdrawn"
  | "expired"
  | "released"
  | "importer-gone"
  | "owner-gone"
  | "device-reset"
  | "device-removed"
  | "device-error"
  | "decode-off"
  | "operator"
  | "shutdown"
  | "failed";

/** How a slice was made unreachable, precise to blunt. */
export type Means = "unmap" | "release" | "hold" | "new-generation" | "close";
