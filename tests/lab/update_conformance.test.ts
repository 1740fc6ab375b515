/** What is written of random histories that were compared. */
import assert from "node:assert/strict";
import { comparedHistories } from "../../lab/update_conformance.ts";
import type { CaseResult } from "../../lab/protocol/message.ts";

function result(name: string, more: Partial<CaseResult>): CaseResult {
  return { kind: "case", name, state: "passed", ms: 1, ...more };
}

Deno.test("parts of many histories are added up, and what was skipped compared none", () => {
  const figures = (seed: number) => ({ sequences: 200, "steps of each": 20, seed, "ms each": 400 });
  const parts = [0, 1, 2].map((part) =>
    result(`differential: 2,000 sequences of 20 steps, from ${part * 200 + 1} on`, {
      figures: figures(7 + part),
    })
  );
  const one = result("differential: 200 sequences of 20 steps (seed 5)", { figures: figures(5) });
  const common = { kernel: "7.3.4", steps: 20, differing: 0 };
  assert.deepEqual(comparedHistories("7.3.4", [one, ...parts]), [
    { ...common, sequences: 200, seed: 5 },
    { ...common, sequences: 600, seed: 7 },
  ]);
  const skipped = parts.map((each) => ({ ...each, state: "skipped" as const }));
  assert.deepEqual(comparedHistories("7.3.4", skipped), []);
});
