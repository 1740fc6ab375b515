/**
 * A plan as the text of a file: the same plan gives the same bytes.
 *
 * @module
 */
import { planJson, type PlanPlace } from "../engine/plan_json.ts";
import type { Plan } from "../engine/plan.ts";
import { ioctlsOf } from "./plan_bytes.ts";
import { jsonText } from "./output/json_text.ts";
import type { Summary } from "./output/summary.ts";

/**
 * @param plan the plan
 * @param place where it is for
 * @returns Plan v1
 */
export function planPieces(plan: Plan, place: PlanPlace): readonly string[] {
  return [jsonText(planJson(plan, ioctlsOf, place), 2), "\n"];
}

/**
 * The same in lines: one for each diagnostic, for each grant and for each step, the plan itself last.
 *
 * @param plan the plan
 * @param place where it is for
 * @param summary of its diagnostics
 * @returns each ends in a newline
 */
export function planLines(plan: Plan, place: PlanPlace, summary: Summary): readonly string[] {
  const { grants, runs, diagnostics, ...rest } = planJson(plan, ioctlsOf, place);
  return [
    ...diagnostics,
    ...grants.map((grant) => ({ grant })),
    ...runs.flatMap(({ importer, steps }) => steps.map((step) => ({ importer, step }))),
    { ...rest, summary },
  ].map((value) => `${jsonText(value)}\n`);
}
