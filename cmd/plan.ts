/**
 * `bargate plan`: what would be exported on this host, or on one whose inventory is given as a file,
 * down to the bytes of each ioctl. Changes nothing, and opens no device; with a file it reads nothing
 * of the machine that it runs on.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { ResetDomains } from "../engine/plan_domain.ts";
import { type IoctlBytes, planJson, type PlanPlace } from "../engine/plan_json.ts";
import type { Plan, PlannedGrant } from "../engine/plan.ts";
import { HOLD_NAMES, holdsOver } from "../engine/device_hold.ts";
import type { DmaRange } from "../engine/kernel.ts";
import { idOf } from "../engine/resolve.ts";
import { C } from "../ffi/layouts.ts";
import { exportArgument } from "../ffi/vfio.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { summarize } from "./output/summary.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { PLAN_FLAGS, type PlanFlags } from "./plan_flags.ts";
import { planningHost } from "./planning_host.ts";
import {
  factsOf,
  type HostFacts,
  type Prepared,
  preparePlan,
  showDiagnostics,
} from "./prepare_plan.ts";
import { readInventory } from "./read_inventory.ts";

interface Flags extends PlanFlags {
  readonly format: "human" | "json";
  readonly importer?: string;
  readonly inventory?: string;
}

async function plan(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const { importer, acceptUnwaitedRevoke, route } = flags;
  const facts = await factsFor(this, flags);
  const prepared = await preparePlan(this, facts, paths, {
    ...(importer === undefined ? {} : { importer }),
    ...(route === undefined ? {} : { route }),
    acceptUnwaitedRevoke,
  });
  const place = placeOf(flags);
  if (flags.format === "json") this.process.stdout.write(asJson(prepared, place));
  else forPeople(this, prepared, place);
  this.exitWith(prepared.status);
}

/** Nobody may take a plan of another host for one of this. */
function placeOf({ inventory, sim }: Flags): PlanPlace {
  return {
    ...(sim === undefined ? {} : { simulated: true }),
    ...(inventory === undefined ? {} : { inventory }),
  };
}

/** @throws {CommandError} usage: a file that cannot be read, or two hosts */
async function factsFor(context: Context, { inventory, sim }: Flags): Promise<HostFacts> {
  if (inventory === undefined) return factsOf(await planningHost(context, sim), sim);
  if (sim === undefined) return await readInventory(inventory);
  throw new CommandError(
    `Cannot plan for two hosts: give --inventory or --sim (received ${inventory} and ${sim})`,
    ExitStatus.usage,
  );
}

function asJson({ loaded, plan, diagnostics }: Prepared, place: PlanPlace): string {
  if (plan === undefined) return jsonDiagnostics(diagnostics, summarize(diagnostics, loaded));
  const whole = { ...plan, diagnostics };
  return `${JSON.stringify(planJson(whole, exportIoctl, place), null, 2)}\n`;
}

function forPeople(context: Context, prepared: Prepared, place: PlanPlace): void {
  const { plan, diagnostics } = prepared;
  showDiagnostics(context, prepared, diagnostics);
  if (plan === undefined || plan.grants.length === 0) return;
  context.process.stdout.write(planText(plan, place));
}

/** @returns the plan, for people */
export function planText(plan: Plan, { simulated, inventory }: PlanPlace): string {
  const domains = new ResetDomains(plan);
  const grants = plan.grants.map((grant) =>
    grantText(grant, domains, exportIoctl(grant.bar, grant.ranges))
  );
  const where = inventory !== undefined
    ? `on the host of the inventory ${visible(inventory)}\n`
    : simulated === true
    ? "on a simulated host\n"
    : "";
  return `${grants.join("\n")}\n${where}policy ${plan.policy}\n`;
}

function grantText(grant: PlannedGrant, domains: ResetDomains, ioctl: IoctlBytes): string {
  const { device, rule, importer } = grant;
  const ranges = grant.ranges.map(({ offset, length }) =>
    `[0x${offset.toString(16)}, +0x${length.toString(16)})`
  );
  return [
    `${grant.export} -> ${importer.name}`,
    `  device   ${device.address} (${device.id}), ${device.node}`,
    ...importerText(grant),
    `  BAR ${grant.bar}    ${ranges.join(" ")}`,
    `  access   ${rule.access}, on reset: ${rule.onReset}`,
    `  ended by ${grant.revocation.join(", then ")}`,
    ...holdText(grant),
    ...resetText(grant, domains),
    `  ioctl    ${ioctl.request} ${ioctl.bytes}`,
    "",
  ].join("\n");
}

function importerText({ importerFunction: dma }: PlannedGrant): readonly string[] {
  return dma === undefined ? [] : [`  DMA by   ${dma.address} (${idOf(dma)}), ${dma.driver ?? ""}`];
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

/** The grants, and the functions without one, that a reset of this device's domain would hit. */
function resetText(grant: PlannedGrant, domains: ResetDomains): readonly string[] {
  const { functions, omitted } = domains.toldOf(grant);
  const lines = functions.flatMap(({ address, through, driver, grants }) => {
    const by = `by a reset of ${through}`;
    if (grants.length === 0) {
      return `  reset with ${address} (${driver ?? "no driver"}, not in this plan), ${by}`;
    }
    return grants.map((other) =>
      `  reset with ${other.export} -> ${other.importer.name} on ${address}, ${by}`
    );
  });
  if (omitted === undefined) return lines;
  const more =
    `${omitted.grants} more grants of this plan, and ${omitted.functions} more functions`;
  return [...lines, `  reset with ${more}`];
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
      inventory: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Plan on the host that this file describes (bargate inventory), not on this one",
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
  docs: {
    brief: "Show what would be exported on this host or on one that is a file, down to the bytes",
  },
});
