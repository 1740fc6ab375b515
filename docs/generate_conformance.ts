/**
 * Writes `conformance.md` from what the suite comes to. A test compares it with a fresh one.
 *
 * Run: `deno run -A docs/generate_conformance.ts`
 *
 * @module
 */
import {
  type CheckedHistories,
  type CheckedResults,
  conformanceReport,
  outcomes,
} from "../conformance/report.ts";
import { SimWorld } from "../conformance/sim_world.ts";
import { CASES, SUBJECTS } from "../conformance/suite.ts";

const CHECKED = new URL("../conformance/kernel.checked.json", import.meta.url);
const HISTORIES = new URL("../conformance/histories.checked.json", import.meta.url);
const DOCUMENT = new URL("./conformance.md", import.meta.url);

/** @returns the document as it should be */
export async function freshReport(): Promise<string> {
  const checked: CheckedResults = JSON.parse(await Deno.readTextFile(CHECKED));
  const compared: CheckedHistories = JSON.parse(await Deno.readTextFile(HISTORIES));
  const simulated = await outcomes(CASES, () => new SimWorld());
  return conformanceReport(SUBJECTS, simulated, checked, compared);
}

if (import.meta.main) await Deno.writeTextFile(DOCUMENT, await freshReport());
