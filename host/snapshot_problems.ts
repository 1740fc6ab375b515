/**
 * What a snapshot that was just taken would be refused for when its file is read. The form of each
 * field is the reader's affair; here is what the functions say of each other.
 *
 * @module
 */
import type { HostSnapshot } from "./snapshot.ts";
import { checkSnapshot } from "./snapshot_checks.ts";
import type { SnapshotDraft } from "./snapshot_fields.ts";
import { ProblemSink } from "./snapshot_problem.ts";

/** There is no file yet, and so no places in it. */
const NOWHERE = {
  address: 0,
  parent: 0,
  physfn: 0,
  config: 0,
  cdev: 0,
  groupNode: 0,
  name: 0,
  function: 0,
};

/**
 * Checks a snapshot without writing it.
 *
 * @param snapshot of a host
 * @returns what would be told of its file, harmless things too
 *
 * @example
 * ```ts
 * import { snapshotProblems } from "./snapshot_problems.ts";
 *
 * const host = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: [], functions: [] };
 * const rdma = [{ name: "mlx5_0", function: "0000:01:00.0" }];
 * const [problem] = snapshotProblems({ ...host, rdma });
 * if (!problem?.includes("0000:01:00.0")) throw new Error("the function is not there");
 * ```
 */
export function snapshotProblems(snapshot: HostSnapshot): readonly string[] {
  const { functions, ...head } = snapshot;
  const draft: SnapshotDraft = {
    head,
    functions: functions.map((entry, index) => ({
      entry,
      index,
      fields: NOWHERE,
      bars: entry.bars.map(() => 0),
      written: entry.bars,
    })),
    names: (["rdma", "drm", "nvme"] as const).flatMap((kind) =>
      (snapshot[kind] ?? []).map((entry, index) => ({ kind, entry, index, fields: NOWHERE }))
    ),
    leftOut: (head.leftOut ?? []).map((entry, index) => ({ entry, index, at: 0 })),
    whole: true,
  };
  const problems = new ProblemSink();
  checkSnapshot(draft, problems);
  return problems.told(new Uint8Array()).map(({ message }) => message);
}
