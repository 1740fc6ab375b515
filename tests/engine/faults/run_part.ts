/**
 * A part of all single faults and of the random pairs: what `run_all.ts` starts, once for each processor.
 * Its result is one line of JSON.
 *
 * @module
 */
import { tryPairs } from "./pairs.ts";
import { type Asked, askedIn, type PartResult } from "./part.ts";
import { describe, runWith, singleFaults } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { Scenario } from "./story.ts";

const asked = askedIn(Deno.args);
const result: PartResult = { calls: 0, runs: 0, broken: [] };
for (const scenario of SCENARIOS) {
  if (scenario.name.includes(asked.only)) await tryStory(scenario, asked);
}
if (asked.pairs > 0) {
  try {
    await tryPairs(asked.pairs, asked.seed);
  } catch (error) {
    const told = error instanceof Error ? `${error.message}\n${error.cause}` : String(error);
    result.broken.push({ story: "pairs", where: "", violation: told });
  }
}
console.log(JSON.stringify(result));

async function tryStory(scenario: Scenario, { every, part, parts }: Asked): Promise<void> {
  const story = scenario.name;
  const plain = await runWith(scenario, []);
  if (part === 0) {
    result.calls += plain.calls.length;
    tell(story, "no fault", plain.violations);
  }
  for (const [turn, placed] of (await singleFaults(scenario)).entries()) {
    if (turn % every !== 0 || turn / every % parts !== part) continue;
    const { calls, violations } = await runWith(scenario, [placed]);
    result.runs++;
    tell(story, describe(placed, calls), violations);
  }
}

function tell(story: string, where: string, violations: readonly string[]): void {
  for (const violation of violations) result.broken.push({ story, where, violation });
}
