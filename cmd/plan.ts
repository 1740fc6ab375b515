/**
 * `bargate plan`: what would be exported on this host, down to the bytes of each ioctl. Changes
 * nothing, and opens no device.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { resetDomainOf } from "../engine/plan_domain.ts";
import { type IoctlBytes, planJson, type PlanPlace } from "../engine/plan_json.ts";
import type { Plan, PlannedGrant } from "../engine/plan.ts";
import { HOLD_NAMES, holdsOver } from "../engine/device_hold.ts";
import type { DmaRange } from "../engine/kernel.ts";
import { C } from "../ffi/layouts.ts";
import { exportArgument } from "../ffi/vfio.ts";
import type { Context } from "./context.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { summarize } from "./output/summary.ts";
import { pathArgument } from "./path_argument.ts";
import { PLAN_FLAGS, type PlanFlags } from "./plan_flags.ts";
import { planningHost } from "./planning_host.ts";
import { type Prepared, preparePlan, showDiagnostics } from "./prepare_plan.ts";

interface Flags extends PlanFlags {
  readonly format: "human" | "json";
  readonly importer?: string;
}

async function plan(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const { importer, acceptUnwaitedRevoke, route, sim } = flags;
  const host = await planningHost(this, sim);
  const prepared = await preparePlan(this, host, paths, {
    ...(importer === undefined ? {} : { importer }),
    ...(route === undefined ? {} : { route }),
    acceptUnwaitedRevoke,
  });
  const place: PlanPlace = sim === undefined ? {} : { simulated: true };
  if (flags.format === "json") this.process.stdout.write(asJson(prepared, place));
  else forPeople(this, prepared, place);
  this.exitWith(prepared.status);
}

function asJson({ loaded, plan }: Prepared, place: PlanPlace): string {
  if (plan === undefined) {
    return jsonDiagnostics(loaded.diagnostics, summarize(loaded.diagnostics, loaded));
  }
  const whole = { ...plan, diagnostics: [...loaded.diagnostics, ...plan.diagnostics] };
  return `${JSON.stringify(planJson(whole, exportIoctl, place), null, 2)}\n`;
}

function forPeople(context: Context, prepared: Prepared, place: PlanPlace): void {
  const { loaded, plan } = prepared;
  showDiagnostics(context, prepared, [...loaded.diagnostics, ...plan?.diagnostics ?? []]);
  if (plan === undefined || plan.grants.length === 0) return;
  context.process.stdout.write(planText(plan, place));
}

/** @returns the plan, for people */
export function planText(plan: Plan, { simulated }: PlanPlace): string {
  const grants = plan.grants.map((grant) =>
    grantText(grant, plan, exportIoctl(grant.bar, grant.ranges))
  );
  const where = simulated === true ? "on a simulated host\n" : "";
  return `${grants.join("\n")}\n${where}policy ${plan.policy}\n`;
}

function grantText(grant: PlannedGrant, plan: Plan, ioctl: IoctlBytes): string {
  const { device, rule, importer } = grant;
  const ranges = grant.ranges.map(({ offset, length }) =>
    `[0x${offset.toString(16)}, +0x${length.toString(16)})`
  );
  return [
    `${grant.export} -> ${importer.name}`,
    `  device   ${device.address} (${device.id}), ${device.node}`,
    `  BAR ${grant.bar}    ${ranges.join(" ")}`,
    `  access   ${rule.access}, on reset: ${rule.onReset}`,
    `  ended by ${grant.revocation.join(", then ")}`,
    ...holdText(grant),
    ...resetText(grant, plan),
    `  ioctl    ${ioctl.request} ${ioctl.bytes}`,
    "",
  ].join("\n");
}

/** What can be tried; which of it works is seen when it is. */
function holdText({ device: { holds } }: PlannedGrant): readonly string[] {
  if (holds.length === 0) return [];
  const texts = holds.map((kind) =>
    holdsOver([kind], "reset").length > 0
      ? `${HOLD_NAMES[kind]} (over a reset too)`
      : HOLD_NAMES[kind]
  );
  return [`  held by  ${texts.join(", else ")}`];
}

/** Every grant, and every function without one, that a reset of this device's domain would hit. */
function resetText(grant: PlannedGrant, plan: Plan): readonly string[] {
  return resetDomainOf(grant, plan).flatMap(({ address, through, driver, grants }) => {
    const by = `by a reset of ${through}`;
    if (grants.length === 0) {
      return `  reset with ${address} (${driver ?? "no driver"}, not in this plan), ${by}`;
    }
    return grants.map((other) =>
      `  reset with ${other.export} -> ${other.importer.name} on ${address}, ${by}`
    );
  });
}

function exportIoctl(bar: number, ranges: readonly DmaRange[]): IoctlBytes {
  return {
    request: `0x${C.VFIO_DEVICE_FEATURE.toString(16)}`,
    bytes: Array.from(exportArgument(bar, ranges), (byte) => byte.toString(16).padStart(2, "0"))
      .join(
        "",
      ),
  };
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: plan,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "json"],
        default: "human",
        brief: "How to print the plan",
      },
      importer: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Only what this importer would get",
      },
      ...PLAN_FLAGS,
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, or - for standard input",
        parse: pathArgument,
        placeholder: "path",
      },
    },
  },
  docs: { brief: "Show what would be exported on this host, down to the bytes" },
});
