/**
 * A plan as the text of a file: the same plan gives the same bytes.
 *
 * @module
 */
import { planJson, type PlanPlace } from "../engine/plan_json.ts";
import type { Plan } from "../engine/plan.ts";
import { ioctlsOf } from "./plan_bytes.ts";
import { jsonText } from "./output/json_text.ts";

/**
 * @param plan the plan
 * @param place where it is for
 * @returns Plan v1
 */
export function planPieces(plan: Plan, place: PlanPlace): readonly string[] {
  return [jsonText(planJson(plan, ioctlsOf, place), 2), "\n"];
}
