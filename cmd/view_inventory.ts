/**
 * An inventory as a table, and what it says of paths between functions.
 *
 * @module
 */
import { pathMatrix } from "../engine/path_matrix.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import { inventoryTable } from "./output/inventory_table.ts";
import { pathMatrixJson } from "./output/path_matrix_json.ts";
import { pathMatrixTable } from "./output/path_matrix_table.ts";

/** What of an inventory is shown, and how. */
export interface InventoryView {
  /** Only these functions, by address; absent: all. */
  readonly device: readonly string[] | undefined;
  /** Which functions' BARs which functions could reach, with any importer, wherever it is. */
  readonly matrix: boolean;
  /** Of the matrix. */
  readonly asJson: boolean;
}

/**
 * What is above a wanted function is in the file, for the file must be whole, but not in the table.
 *
 * @param snapshot of a host; for the matrix of the whole
 * @param view of it
 * @returns pieces of text
 */
export function viewOf(
  snapshot: HostSnapshot,
  { device, matrix, asJson }: InventoryView,
): readonly string[] {
  const only = device === undefined ? undefined : new Set(device);
  const wanted = ({ address }: { readonly address: string }) => only?.has(address) ?? true;
  if (!matrix) return [inventoryTable(snapshot, wanted)];
  const found = pathMatrix(snapshot, wanted);
  return [...asJson ? pathMatrixJson(found, snapshot.kernel.release) : pathMatrixTable(found)];
}
