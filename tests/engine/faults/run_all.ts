/**
 * Every single fault of every scenario, and random pairs: `deno task test:long`. Options: `--seed` and
 * `--pairs`, of the pairs; `--every` so many-th single fault; `--all` names every fault that breaks something. With a text, only the
 * scenarios whose name has it, and no pairs.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { tryPairs } from "./pairs.ts";
import { describe, runWith, singleFaults } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";

const { values, positionals: [only] } = parseArgs({
  args: Deno.args,
  options: {
    pairs: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    every: { type: "string", default: "1" },
    all: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const [PAIRS, SEED, EVERY] = [values.pairs, values.seed, values.every].map(Number) as [
  number,
  number,
  number,
];

const began = performance.now();
let [calls, runs, bad] = [0, 0, 0];
const kinds = new Map<string, { count: number; first: string }>();
for (const scenario of SCENARIOS) {
  if (only !== undefined && !scenario.name.includes(only)) continue;
  const plain = await runWith(scenario, []);
  calls += plain.calls.length;
  for (const violation of plain.violations) {
    console.error(`${scenario.name}, no fault: ${violation}`);
  }
  bad += plain.violations.length > 0 ? 1 : 0;
  for (const [turn, placed] of (await singleFaults(scenario)).entries()) {
    if (turn % EVERY !== 0) continue;
    const outcome = await runWith(scenario, [placed]);
    runs++;
    if (outcome.violations.length === 0) continue;
    bad++;
    const where = `${scenario.name}: ${describe(placed, outcome.calls)}`;
    for (const told of outcome.violations) {
      // One kind of violation, whatever the errno.
      const violation = told.replaceAll(/\bE[A-Z]{2,}\b/g, "E…");
      const kind = kinds.get(violation) ?? { count: 0, first: where };
      kinds.set(violation, { ...kind, count: kind.count + 1 });
      if (values.all) console.error(`${where}: ${violation}`);
    }
  }
}
for (const [violation, { count, first }] of kinds) {
  console.error(`${count} times ${violation}\n    first: ${first}`);
}
const seconds = Math.round((performance.now() - began) / 1000);
console.error(
  `${SCENARIOS.length} scenarios, ${calls} calls, ${runs} runs, ${bad} bad, ${seconds} s`,
);
if (bad > 0) Deno.exit(1);
if (only === undefined) {
  try {
    await tryPairs(PAIRS, SEED);
  } catch (error) {
    // Rejections that nobody awaits are part of what is looked for, and so are told to nobody else.
    console.error(error instanceof Error ? `${error.message}\n${error.cause}` : error);
    Deno.exit(1);
  }
  console.error(`${PAIRS} pairs of faults, seed ${SEED}`);
}
