/**
 * `export --plan FILE`: holds what would be done now against what was planned. The file allows
 * nothing: policies and host are read as without it, and the export is of the plan that is made anew.
 *
 * @module
 */
import type { PlanOptions } from "../engine/plan.ts";
import { driftOf } from "../engine/plan_drift.ts";
import {
  MAX_PLAN_BYTES,
  planDiagnostics,
  type PlanFinding,
  type PlanHead,
  readPlanHead,
} from "../engine/plan_file.ts";
import { optionsJson, planJson, type PlanPlace } from "../engine/plan_json.ts";
import type { HostCode } from "../policy/host_codes.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { visible } from "./output/visible.ts";
import { ioctlsOf } from "./plan_bytes.ts";
import type { Prepared } from "./prepare_plan.ts";
import { readBounded } from "./read_bounded.ts";

/** Of other policies: whoever gave them was not told to export by this plan. */
const REFUSAL: HostCode = "BG2310";

/** What is planned for now. */
export type PlannedFor = Required<Pick<PlanPlace, "options">> & Pick<PlanPlace, "simulated">;

/** A file to hold a plan against, read once. */
export interface PlanToHold {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly now: PlannedFor;
  /** Absent: the findings say why. */
  readonly head?: PlanHead;
  readonly findings: readonly PlanFinding[];
}

/**
 * Reads what a plan will be held against.
 *
 * @param file Plan v1
 * @param now what the plan will be made for
 * @throws {CommandError} usage: the file cannot be read
 */
export async function readPlanToHold(file: string, now: PlannedFor): Promise<PlanToHold> {
  const bytes = await readBounded(file, "the plan", MAX_PLAN_BYTES);
  return { file, bytes, now, ...readPlanHead(bytes) };
}

/**
 * Whether {@linkcode holdToPlan} will refuse, whatever the host is.
 *
 * @param held the file
 * @param policy digest of the policies of now
 * @throws {CommandError} usage: it was made with other options
 */
export function refusesUnasked({ head, file, now }: PlanToHold, policy: string): boolean {
  if (head === undefined) return true;
  refuseOtherOptions(head, file, now);
  return otherPolicies(head, policy) !== undefined;
}

/**
 * Holds a plan against a file.
 *
 * @param made the plan of now, if there is one
 * @param held the file
 * @returns the same, with everything that differs told, and then with the status that it is refused with
 * @throws {CommandError} usage: the file was made with other options
 */
export function holdToPlan(made: Prepared, held: PlanToHold): Prepared {
  const { file, bytes, now, head, findings } = held;
  const { plan } = made;
  // Of an invalid policy nothing more can be said.
  if (plan === undefined) return made;
  if (head === undefined) return refused(made, ExitStatus.hostNotReady, findings, file, bytes);
  refuseOtherOptions(head, file, now);
  const other = otherPolicies(head, plan.policy);
  if (other !== undefined) return refused(made, ExitStatus.denied, [other], file, bytes);
  const whole = { ...plan, diagnostics: made.diagnostics };
  const drift = driftOf(bytes, planJson(whole, ioctlsOf, now));
  return drift.length === 0 ? made : refused(made, ExitStatus.hostNotReady, drift, file, bytes);
}

/** What had already been found weighs more than that something differs. */
function refused(
  made: Prepared,
  status: ExitStatus,
  findings: readonly PlanFinding[],
  file: string,
  bytes: Uint8Array,
): Prepared {
  return {
    ...made,
    diagnostics: [...made.diagnostics, ...planDiagnostics(findings, file, bytes)],
    status: made.status === ExitStatus.done ? status : made.status,
  };
}

function otherPolicies(head: PlanHead, policy: string): PlanFinding | undefined {
  if (head.policy === policy) return undefined;
  const planned = JSON.stringify(head.policy.slice(0, 80));
  return {
    code: REFUSAL,
    pointer: "/policy",
    offset: head.policyAt,
    message:
      `Cannot export by the plan: the policies that are given (${policy}) are not those that were planned (${planned})`,
  };
}

/** @throws {CommandError} usage: another question has another answer, and the host has no part in it */
function refuseOtherOptions(head: PlanHead, file: string, now: PlannedFor): void {
  const cannot = `Cannot export by the plan ${visible(file)}`;
  if (head.simulated !== (now.simulated === true)) {
    const [of, here] = head.simulated ? ["a simulated host", "not one"] : ["a host", "simulated"];
    throw new CommandError(`${cannot}: it is of ${of}, and this one is ${here}`, ExitStatus.usage);
  }
  const [then, given] = [optionsText(head.options), optionsText(entriesOf(now.options))];
  if (then === given) return;
  throw new CommandError(
    `${cannot}: it was made ${
      visible(then)
    }, and this export is asked for ${given}; give the same options, or plan anew`,
    ExitStatus.usage,
  );
}

function entriesOf(options: PlanOptions): ReadonlyMap<string, string> {
  const entries = Object.entries(optionsJson(options));
  return new Map(entries.map(([name, value]) => [name, JSON.stringify(value)]));
}

function optionsText(options: ReadonlyMap<string, string>): string {
  if (options.size === 0) return "without options";
  return `with ${[...options].map(([name, value]) => `${name} ${value}`).sort().join(", ")}`;
}
