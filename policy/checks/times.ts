/**
 * Times that fit together.
 *
 * @module
 */
import { related } from "../report.ts";
import { allExports, type CheckContext } from "./context.ts";

/** Checks that a grant lives longer than the time to let go of it. */
export function checkTimes({ drafts, report }: CheckContext): void {
  for (const { rule } of allExports(drafts)) {
    const { grace, expires } = rule;
    if (expires === undefined || expires.value === 0 || expires.value > grace.value) continue;
    const message =
      `The grant expires after ${expires.value} ms, and may take ${grace.value} ms to end`;
    const place = related(grace.at, "the time to let go");
    report("BG1204", expires.at, message, { related: [place] });
  }
}
