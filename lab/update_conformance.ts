/**
 * Writes what the conformance suite, and random histories beside the simulation, come to on the real
 * kernel into the checkout.
 *
 * @module
 */
import type { CheckedHistories, CheckedResults, ComparedHistories } from "../conformance/report.ts";
import { join } from "./path.ts";
import { checkoutFolder } from "./places.ts";
import type { CaseResult } from "./protocol/message.ts";

/** What the names of the suite's cases begin with in the laboratory. */
export const CONFORMANCE_PREFIX = "conformance: ";
/** What the names of the cases of random histories begin with. */
export const HISTORIES_PREFIX = "differential: ";

/**
 * @param kernel its release
 * @param results of all cases of the suite
 * @returns path of the file
 */
export async function updateConformance(
  kernel: string,
  results: readonly CaseResult[],
): Promise<string> {
  const path = join(checkoutFolder(), "conformance/kernel.checked.json");
  const outcomes = results.map(({ name, state, message }) => [
    name.slice(CONFORMANCE_PREFIX.length),
    state === "passed" ? "holds" : `not run: ${message}`,
  ]);
  const checked: CheckedResults = { kernel, results: Object.fromEntries(outcomes) };
  await Deno.writeTextFile(path, `${JSON.stringify(checked, undefined, 2)}\n`);
  return path;
}

/**
 * @param kernel its release
 * @param results of cases of random histories, all of which passed or were skipped
 * @returns path of the file; what it says of numbers of histories that were not run now stays
 */
export async function updateHistories(
  kernel: string,
  results: readonly CaseResult[],
): Promise<string> {
  const path = join(checkoutFolder(), "conformance/histories.checked.json");
  const before: CheckedHistories = JSON.parse(await Deno.readTextFile(path));
  const made = comparedHistories(kernel, results);
  const others = before.compared.filter((old) =>
    !made.some(({ sequences }) => sequences === old.sequences)
  );
  const compared = [...others, ...made].sort((a, b) => a.sequences - b.sequences);
  const checked: CheckedHistories = { compared };
  await Deno.writeTextFile(path, `${JSON.stringify(checked, undefined, 2)}\n`);
  return path;
}

/**
 * What cases say of the histories that they compared. Those of which one is a part of many are added up.
 *
 * @param kernel its release
 * @param results of the cases; one that was skipped compared none
 */
export function comparedHistories(
  kernel: string,
  results: readonly CaseResult[],
): readonly ComparedHistories[] {
  const made = results.filter(({ state }) => state === "passed");
  const parts = Map.groupBy(made, ({ name }) => name.replace(/, from \d+ on$/, ""));
  return [...parts.values()].map((all) => {
    const numbers = (figure: string) => all.map(({ figures }) => Number(figures?.[figure]));
    const sequences = numbers("sequences").reduce((sum, each) => sum + each, 0);
    const [steps, seed] = [Math.min(...numbers("steps of each")), Math.min(...numbers("seed"))];
    return { kernel, sequences, steps, seed, differing: 0 };
  });
}
