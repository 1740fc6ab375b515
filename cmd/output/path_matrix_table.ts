/**
 * The matrix of paths for people.
 *
 * @module
 */
import type { MatrixExporter, MatrixImporter, PathMatrix } from "../../engine/path_matrix.ts";
import { isViable } from "../../host/group_viability.ts";
import type { PathJudgement } from "../../host/topology/judge.ts";
import { visible } from "./visible.ts";

/** Importers side by side; more come below. */
const COLUMNS = 6;

const LEGEND = [
  "direct N   bus addresses, N steps apart; the IOMMU is not on the way",
  "host N     through the host bridge",
  "none       the kernel refuses to map",
  "?          not known: something could not be read",
  "held       VFIO cannot own the group: other drivers hold functions of it",
  "Why, and what would change it: --format json",
];

/**
 * Writes one line for each exporter, and a column for each importer.
 *
 * @param matrix of the host
 * @returns pieces of text
 */
export function* pathMatrixTable(matrix: PathMatrix): Generator<string, void> {
  const { exporters, importers } = matrix;
  if (exporters.length === 0 || importers.length === 0) {
    yield `no function could ${exporters.length === 0 ? "export" : "import"}\n`;
    return;
  }
  for (let at = 0; at < importers.length; at += COLUMNS) {
    const columns = importers.slice(at, at + COLUMNS);
    const rows = [
      ["EXPORTER", "DRIVER", "GROUP", ...columns.map(({ entry }) => entry.address)],
      ["", "", "", ...columns.map(importerText)],
      ...exporters.map((exporter) => rowOf(matrix, exporter, columns)),
    ];
    yield `${aligned(rows)}\n`;
  }
  yield `${LEGEND.join("\n")}\n`;
}

function rowOf(
  { judge }: PathMatrix,
  { entry, viability }: MatrixExporter,
  columns: readonly MatrixImporter[],
): string[] {
  const viable = viability === undefined ? true : isViable(viability);
  const held = viable === undefined ? " ?" : viable ? "" : " held";
  return [
    entry.address,
    visible(entry.driver ?? "-"),
    `${entry.iommuGroup ?? "-"}${held}`,
    ...columns.map((importer) => cellText(judge(entry, importer.entry))),
  ];
}

function importerText({ entry, names }: MatrixImporter): string {
  return visible(names[0] ?? entry.driver ?? "-");
}

function cellText({ kind, path }: PathJudgement): string {
  switch (kind) {
    case "direct":
      return `direct ${path.distance}`;
    case "through-host-bridge":
      return `host ${path.distance}`;
    case "not-supported":
      return "none";
    case "not-known":
      return "?";
  }
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => {
    return rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0);
  });
  return rows.map((row) =>
    `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`
  ).join("");
}
