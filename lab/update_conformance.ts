/** Writes what the conformance suite comes to on the real kernel into the checkout. @module */
import type { CheckedResults } from "../conformance/report.ts";
import { join } from "./path.ts";
import { checkoutFolder } from "./places.ts";
import type { CaseResult } from "./protocol/message.ts";

/** What the names of the suite's cases begin with in the laboratory. */
export const CONFORMANCE_PREFIX = "conformance: ";

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
