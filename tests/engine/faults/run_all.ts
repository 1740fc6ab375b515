/**
 * Every single fault of every story, and random pairs, on all processors: `deno task faults`. Options:
 * `--seed` and `--pairs`, of the pairs; `--every` so many-th single fault; `--all` names every fault that
 * breaks something. With a text, only the stories whose name has it, and no pairs.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { askedIn, type Broken, type PartResult } from "./part.ts";
import { SCENARIOS } from "./scenarios.ts";

/** More than this the stories are not worth. */
const MOST_PARTS = 8;

const all = Deno.args.includes("--all");
const asked = askedIn(Deno.args.filter((arg) => arg !== "--all"));
const parts = Math.min(MOST_PARTS, availableParallelism());
const began = performance.now();
const results = await Promise.all(Array.from({ length: parts }, (_, part) => run(part)));

const broken = results.flatMap((result) => result.broken);
for (const { story, where, violation } of all ? broken : []) {
  console.error(`${story}: ${where}: ${violation}`);
}
for (const [kind, these] of Map.groupBy(broken, kindOf)) {
  console.error(`${these.length} times ${kind}\n    first: ${these[0]?.story}: ${these[0]?.where}`);
}
const [calls, runs] = [sum("calls"), sum("runs")];
const pairs = asked.only === "" ? asked.pairs : 0;
const seconds = Math.round((performance.now() - began) / 1000);
console.error(
  `${calls} calls, ${runs} single faults, ${pairs} pairs of seed ${asked.seed}, ${seconds} s`,
);
const stories = SCENARIOS.filter(({ name }) => name.includes(asked.only)).length;
const tried = stories + (pairs > 0 ? 1 : 0);
const failed = new Set(broken.map(({ story }) => story)).size;
console.log(`${tried - failed} passed, ${failed} failed`);
if (failed > 0) Deno.exit(1);

/** Each part takes its own singles, and its own share of the pairs with a seed of its own. */
async function run(part: number): Promise<PartResult> {
  const share = asked.only === "" ? Math.ceil(asked.pairs / parts) : 0;
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--no-check", new URL("run_part.ts", import.meta.url).pathname],
      ...[`--part=${part}`, `--parts=${parts}`, `--every=${asked.every}`],
      ...[`--pairs=${share}`, `--seed=${asked.seed + part}`, asked.only],
    ],
    stderr: "inherit",
  }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout));
  return { calls: 0, runs: 0, broken: [{ story: "", where: "", violation: `part ${part} dies` }] };
}

/** One kind of violation, whatever the errno. */
function kindOf({ violation }: Broken): string {
  return violation.replaceAll(/\bE[A-Z]{2,}\b/g, "E…");
}

function sum(what: "calls" | "runs"): number {
  return results.reduce((total, result) => total + result[what], 0);
}
