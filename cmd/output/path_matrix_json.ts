/**
 * The matrix of paths for machines: one JSON value, in pieces, for a large host has many pairs.
 *
 * @module
 */
import type { MatrixExporter, MatrixImporter, PathMatrix } from "../../engine/path_matrix.ts";
import { isViable } from "../../host/group_viability.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import type { PathJudgement } from "../../host/topology/judge.ts";
import { pathRemedy, pathText } from "../../host/topology/words.ts";
import { jsonText } from "./json_text.ts";

/**
 * Writes the matrix.
 *
 * @param matrix of the host
 * @param release of its kernel
 * @returns pieces of JSON text, which end with a newline
 */
export function* pathMatrixJson(matrix: PathMatrix, release: string): Generator<string, void> {
  const { exporters, importers, judge } = matrix;
  const head = {
    apiVersion: "bargate/v1",
    kind: "PathMatrix",
    kernel: { release },
    exporters: exporters.map(exporterJson),
    importers: importers.map(importerJson),
    groups: groupsJson(exporters),
  };
  yield `${jsonText(head, 2).slice(0, -2)},\n  "paths": [`;
  let separator = "\n    ";
  for (const exporter of exporters) {
    for (const importer of importers) {
      yield separator + jsonText(pathJson(judge(exporter.entry, importer.entry)));
      separator = ",\n    ";
    }
  }
  yield separator.startsWith(",") ? "\n  ]\n}\n" : "]\n}\n";
}

function exporterJson({ entry, viability }: MatrixExporter): Record<string, unknown> {
  return {
    ...functionJson(entry),
    group: viability === undefined ? undefined : {
      number: viability.group,
      // Absent: not known.
      viable: isViable(viability),
    },
  };
}

/** What holds a group stands once, however many of it could export. */
function groupsJson(exporters: readonly MatrixExporter[]): readonly Record<string, unknown>[] {
  const groups = new Map(
    exporters.flatMap(({ viability }) =>
      viability?.group === undefined ? [] : [[viability.group, viability] as const]
    ),
  );
  return [...groups].map(([number, { holders, unknown }]) => ({
    number,
    heldBy: holders.map(functionJson),
    ...(unknown.length === 0 ? {} : { unknown }),
  }));
}

function importerJson({ entry, names }: MatrixImporter): Record<string, unknown> {
  return { ...functionJson(entry), names };
}

function functionJson(entry: SnapshotFunction): Record<string, unknown> {
  const { address, vendor, device, driver } = entry;
  return { address, id: `${vendor}:${device}`, driver };
}

function pathJson(judgement: PathJudgement): Record<string, unknown> {
  const { exporter, importer, kind, supported, path, redirecting, reason } = judgement;
  return {
    exporter,
    importer,
    path: kind,
    // Absent: not known.
    supported,
    distance: path.distance,
    common: path.common?.address,
    exporterSide: path.exporterSide.map(({ address }) => address),
    importerSide: path.importerSide.map(({ address }) => address),
    redirecting: redirecting.map(({ address, bits }) => ({ address, bits })),
    reason: reason.code,
    why: pathText(judgement),
    fix: pathRemedy(judgement),
  };
}
