/**
 * `bargate plan`: what would be exported on this host, or on one whose inventory is given as a file,
 * down to the bytes of each ioctl. Changes nothing, and opens no device unless it is asked to (`--probe`);
 * with a file it reads nothing of the machine that it runs on.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { ResetDomains } from "../engine/plan_domain.ts";
import type { DeviceTarget } from "../engine/device_target.ts";
import { plainIdentity } from "../engine/plain_identity.ts";
import type { PlanPlace } from "../engine/plan_json.ts";
import type { IoctlBytes } from "../engine/planned_call.ts";
import type { Plan, PlannedGrant } from "../engine/plan.ts";
import { HOLD_NAMES, holdsOver } from "../engine/device_hold.ts";
import { idOf } from "../engine/match_fields.ts";
import { enablingControl } from "../host/nvme_cmb.ts";
import { formatDuration } from "../policy/duration.ts";
import type { ImporterIdentity, OwnerIdentity } from "../policy/model.ts";
import { rangeText } from "../policy/range_text.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { jsonlDiagnostics } from "./output/jsonl.ts";
import { summarize } from "./output/summary.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { ioctlsOf } from "./plan_bytes.ts";
import { PLAN_FLAGS, type PlanFlags, planOptions } from "./plan_flags.ts";
import { planLines, planPieces } from "./plan_text.ts";
import { planningFacts } from "./planning_facts.ts";
import {
  factsOf,
  type HostFacts,
  type Prepared,
  preparePlan,
  showDiagnostics,
} from "./prepare_plan.ts";
import { readInventory } from "./read_inventory.ts";
import { refuseInput } from "./refuse_input.ts";
import { writePrivate } from "./write_private.ts";

interface Flags extends PlanFlags {
  readonly format: "human" | "json" | "jsonl";
  readonly inventory?: string;
  readonly out?: string;
  readonly probe: boolean;
}

async function plan(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const { out, format, inventory, sim } = flags;
  refuseInput(out, "the plan", [inventory, sim, ...paths]);
  if (format === "jsonl" && out === "-") throw twoOnOutput();
  const facts = await factsFor(this, flags);
  const prepared = await preparePlan(this, facts, paths, planOptions(flags));
  refuseInput(out, "the plan", prepared.files.map(({ file }) => file));
  const place = placeOf(flags);
  if (format === "jsonl") {
    for (const line of asLines(prepared, place)) this.process.stdout.write(line);
  } else if (format === "json" || out === "-") {
    for (const piece of asJson(prepared, place)) this.process.stdout.write(piece);
  } else forPeople(this, prepared, place);
  if (out !== undefined && out !== "-") writeOut(this, out, prepared, place);
  // A controller that does not answer keeps its thread, and would keep this process.
  if (flags.probe) return this.exitNow(prepared.status);
  this.exitWith(prepared.status);
}

function twoOnOutput(): CommandError {
  return new CommandError(
    "Cannot write the plan twice to standard output, as a file and in lines (received --out - and --format jsonl)",
    ExitStatus.usage,
  );
}

/** A plan by which nothing could be exported is none to keep. */
function writeOut(context: Context, out: string, prepared: Prepared, place: PlanPlace): void {
  const { stderr } = context.process;
  if (prepared.plan === undefined || prepared.status !== ExitStatus.done) {
    stderr.write(`no plan written to ${visible(out)}: nothing could be exported\n`);
    return;
  }
  writePrivate(out, "the plan", asJson(prepared, place));
  stderr.write(`plan written to ${visible(out)}\n`);
}

/** Nobody may take a plan of another host for one of this. */
function placeOf(flags: Flags): PlanPlace {
  const { inventory, sim } = flags;
  return {
    ...(sim === undefined ? {} : { simulated: true }),
    ...(inventory === undefined ? {} : { inventory }),
    options: planOptions(flags),
  };
}

/** @throws {CommandError} usage: a file that cannot be read, or two hosts, or none to ask */
async function factsFor(context: Context, { inventory, sim, probe }: Flags): Promise<HostFacts> {
  const file = inventory ?? sim;
  if (probe && file !== undefined) {
    throw new CommandError(
      `Cannot probe the controllers of a host that is a file: what they answered is in the file, or nobody knows it (received --probe and ${file})`,
      ExitStatus.usage,
    );
  }
  if (probe) return await factsByAsking(context);
  if (inventory === undefined) return await planningFacts(context, sim);
  if (sim === undefined) return await readInventory(inventory);
  throw new CommandError(
    `Cannot plan for two hosts: give --inventory or --sim (received ${inventory} and ${sim})`,
    ExitStatus.usage,
  );
}

/** What can open a device is loaded only here: the run-time reads what a literal import leads to. */
async function factsByAsking(context: Context): Promise<HostFacts> {
  const [host, asking] = ["./host.ts", "./ask_controllers.ts"] as const;
  const { openThisHost }: typeof import("./host.ts") = await import(`${host}`);
  const { askingBy }: typeof import("./ask_controllers.ts") = await import(`${asking}`);
  const { kernel, files } = openThisHost();
  const { release, pageSize } = kernel;
  return factsOf({ files, release, pageSize }, undefined, askingBy(context, kernel));
}

function asJson({ loaded, plan, diagnostics }: Prepared, place: PlanPlace): readonly string[] {
  if (plan === undefined) return [jsonDiagnostics(diagnostics, summarize(diagnostics, loaded))];
  return planPieces({ ...plan, diagnostics }, place);
}

function asLines({ loaded, plan, diagnostics }: Prepared, place: PlanPlace): readonly string[] {
  const summary = summarize(diagnostics, loaded);
  if (plan === undefined) return [jsonlDiagnostics(diagnostics, summary)];
  return planLines({ ...plan, diagnostics }, place, summary);
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
  const grants = plan.grants.map((grant) => grantText(grant, domains));
  const where = inventory !== undefined
    ? `on the host of the inventory ${visible(inventory)}\n`
    : simulated === true
    ? "on a simulated host\n"
    : "";
  return `${grants.join("\n")}\n${where}policy ${plan.policy}\n`;
}

function grantText(grant: PlannedGrant, domains: ResetDomains): string {
  const { device, rule } = grant;
  const ranges = grant.ranges.map(({ offset, length }) =>
    rangeText({ start: offset, end: offset + length })
  );
  const expires = rule.expiresMs === undefined
    ? "never"
    : `${formatDuration(rule.expiresMs)} after the first export, renewals included`;
  return [
    `${grant.export} -> ${grant.importerName}`,
    `  importer ${identityText(grant.importer.identity)}`,
    `  device   ${device.address} (${device.id}), ${openedText(device)}`,
    ...importerText(grant),
    ...memoryText(grant),
    `  BAR ${grant.bar}    ${ranges.join(" ")}`,
    `  access   ${rule.access}`,
    `  expires  ${expires}`,
    `  on reset ${onResetText(grant)}`,
    `  ended by ${grant.revocation.join(", then ")}, with a grace of ${
      formatDuration(rule.graceMs)
    } where it can wait`,
    ...holdText(grant),
    ...resetText(grant, domains),
    ...exportIoctls(grant).map(({ request, bytes }) => `  ioctl    ${request} ${bytes}`),
    "",
  ].map(visible).join("\n");
}

/** What a policy says of a process. */
function identityText(identity: ImporterIdentity | OwnerIdentity): string {
  return Object.entries(plainIdentity(identity)).map(([field, value]) => `${field} ${value}`)
    .join(", ");
}

function openedText({ owner, node }: DeviceTarget): string {
  return owner === undefined ? node : `borrowed from ${identityText(owner)}`;
}

/** Of what another process does to its device only the kernel's revoke routine tells. */
function onResetText({ rule: { onReset }, device: { owner } }: PlannedGrant): string {
  if (owner === undefined) return onReset;
  return `${onReset}; resets by its owner are seen with export --trace-revokes only`;
}

function importerText({ importerFunction: dma }: PlannedGrant): readonly string[] {
  return dma === undefined ? [] : [`  DMA by   ${dma.address} (${idOf(dma)}), ${dma.driver ?? ""}`];
}

/** What is written to the device, where that is needed. */
function memoryText({ device: { controllerMemory }, rule }: PlannedGrant): readonly string[] {
  if (controllerMemory === undefined || rule.region?.value !== "nvme.cmb") return [];
  const { state, base } = controllerMemory;
  if (state === "enabled" || base === undefined) return ["  memory   enabled, by its registers"];
  const { upper, lower } = enablingControl(base);
  const bytes = `${lower.toHex()}${upper.toHex()}`;
  return [`  memory   not enabled: CMBMSC is written (enableCmb), ${bytes}`];
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
      `  reset with ${other.export} -> ${other.importerName} on ${address}, ${by}`
    );
  });
  if (omitted === undefined) return lines;
  const more =
    `${omitted.grants} more grants of this plan, and ${omitted.functions} more functions`;
  return [...lines, `  reset with ${more}`];
}

function exportIoctls({ bar: region, ranges }: PlannedGrant): readonly IoctlBytes[] {
  return ioctlsOf({ call: "exportDmaBuf", on: "", region, ranges, gives: "" });
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: plan,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "json", "jsonl"],
        default: "human",
        brief: "How to print the plan",
      },
      out: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Write the plan to this file, for export --plan (- is standard output)",
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
      probe: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief:
          "Open NVMe controllers whose memory buffers are exported, which resets them, and ask where they are",
      },
      ...PLAN_FLAGS,
    },
    aliases: { o: "out" },
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
