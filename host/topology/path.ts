/**
 * The way between two functions in the PCI tree.
 *
 * @module
 */
import type { SnapshotFunction } from "../snapshot.ts";
import type { Chain } from "./tree.ts";

/** Where two ways up meet, or that they do not. */
export interface TreePath {
  /** The exporter first, up to but not with what is common; all of its way where nothing is. */
  readonly exporterSide: readonly SnapshotFunction[];
  /** The nearest that is above both, or one of the two that is above the other. */
  readonly common?: SnapshotFunction;
  /** The importer first, up to but not with what is common. */
  readonly importerSide: readonly SnapshotFunction[];
  /** Steps from one to the other, as the kernel counts them. */
  readonly distance: number;
}

/**
 * Finds the way between two functions, in time linear in their depth.
 *
 * @param exporter its way up
 * @param importer its way up
 */
export function pathBetween(exporter: Chain, importer: Chain): TreePath {
  const places = new Map(importer.functions.map((each, index) => [each.address, index]));
  const up = exporter.functions.findIndex(({ address }) => places.has(address));
  const common = exporter.functions[up];
  const down = common === undefined ? undefined : places.get(common.address);
  const exporterSide = exporter.functions.slice(0, up < 0 ? undefined : up);
  const importerSide = importer.functions.slice(0, down);
  return {
    exporterSide,
    ...(common === undefined ? {} : { common }),
    importerSide,
    distance: exporterSide.length + importerSide.length,
  };
}
