/**
 * `bargate export`: exports what the policy allows, gives it to a program, and takes it back. Bargate
 * stays as the guardian: when it ends, however it ends, so do the grants.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { systemClock } from "../engine/clock.ts";
import { ControlServer } from "../engine/control.ts";
import { InterruptedError } from "../engine/errors.ts";
import { EventLog } from "../engine/event.ts";
import { ConnectedPeer } from "../engine/connected_peer.ts";
import { Guardian } from "../engine/guardian.ts";
import type { ImporterSource } from "../engine/importer_process.ts";
import { StartedProgram } from "../engine/started_program.ts";
import type { ChildEnd, Kernel } from "../engine/kernel.ts";
import type { Plan } from "../engine/plan.ts";
import { checkRecipient } from "../engine/recipient.ts";
import type { VfTokenSource } from "../engine/vf_token.ts";
import type { ImporterRule } from "../policy/model.ts";
import { type AskControllers, askingBy } from "./ask_controllers.ts";
import { askingForExport, onlyImporter } from "./ask_for_export.ts";
import { type AskedVariable, childEnvironment, parseVariable } from "./child_environment.ts";
import type { Context } from "./context.ts";
import { CommandError, exitStatusOf, SIGNALLED } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { findProgram } from "./find_program.ts";
import { operatorHandler } from "./operator_handler.ts";
import { type OpenHost, openHost } from "./host.ts";
import { listenForOperators, removeSocket } from "./operator_socket.ts";
import { ExportReport, type ReportFormat } from "./output/export_report.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { styleFor } from "./output/style.ts";
import { summarize } from "./output/summary.ts";
import { pathArgument } from "./path_argument.ts";
import { holdToPlan, readPlanToHold } from "./hold_to_plan.ts";
import { PLAN_FLAGS, type PlanFlags, planOptions } from "./plan_flags.ts";
import {
  factsOf,
  type HostFacts,
  type Prepared,
  preparePlan,
  showDiagnostics,
} from "./prepare_plan.ts";
import { ensureRuntimeFolder, runtimeFolder } from "./runtime_folder.ts";
import { ShutdownSignals } from "./shutdown_signals.ts";
import { readVfTokens } from "./vf_token_file.ts";

interface Flags extends PlanFlags {
  readonly exec: boolean;
  readonly send?: string;
  readonly plan?: string;
  readonly format: ReportFormat;
  readonly env?: readonly AskedVariable[];
  readonly allowSameUser: boolean;
  readonly gateResets: boolean;
  readonly traceRevokes: boolean;
  readonly vfTokenFile?: string;
}

/** How long a call of an end may take before it is reported as late. */
const LIMIT_MS = 5_000;

async function exportSlices(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const { command } = this;
  const way = wayTo(flags, command);
  refuseUnsimulated(flags);
  const host = await openHost(this, flags.sim);
  if ("unfit" in host) return await refuseUnfit(this, flags, host.unfit, paths);
  const vfTokens = await vfTokensOf(flags, host.kernel);
  const options = planOptions(flags);
  const held = flags.plan === undefined ? undefined : await readPlanToHold(flags.plan, {
    options,
    ...(flags.sim === undefined ? {} : { simulated: true }),
  });
  const ask = askingForExport(askingBy(this, host.kernel, vfTokens), {
    options,
    ...(held === undefined ? {} : { held }),
  });
  const made = await preparePlan(this, factsFor(host, flags.sim, ask), paths, options);
  const prepared = held === undefined ? made : holdToPlan(made, held);
  const { plan } = prepared;
  tellDiagnostics(this, flags, prepared);
  if (plan === undefined || prepared.status !== ExitStatus.done) {
    // A controller that does not answer keeps its thread, and would keep this process.
    return this.exitNow(prepared.status);
  }
  refuseBorrowed(host.kernel, plan);
  const report = reportFor(this, flags.format);
  const status = await report.conclude(async () => {
    const source = await importerSource(host, importerOf(plan), way, flags);
    return await guard(this, host, { plan, source, flags, ...vfTokens }, report);
  });
  // A call that does not return keeps its thread, and would keep this process from ending by itself.
  this.exitNow(status);
}

/** Of a file from which no host can be simulated it is told what is wrong with it. */
async function refuseUnfit(
  context: Context,
  flags: Flags,
  unfit: HostFacts,
  paths: readonly string[],
): Promise<void> {
  const prepared = await preparePlan(context, unfit, paths, planOptions(flags));
  tellDiagnostics(context, flags, prepared);
  context.exitWith(prepared.status);
}

function factsFor(
  { kernel: { release, pageSize }, files, snapshot: simulated, problems = [] }: OpenHost,
  sim: string | undefined,
  ask: AskControllers,
): HostFacts {
  if (simulated === undefined) return factsOf({ files, release, pageSize }, undefined, ask);
  // What its controllers would answer, the file says.
  return factsOf({ files, release, pageSize, simulated, problems }, sim);
}

/** From here on nobody of the same account can look into this process. */
async function vfTokensOf(
  { vfTokenFile }: Flags,
  kernel: Kernel,
): Promise<{ readonly vfTokenFor?: VfTokenSource }> {
  if (vfTokenFile === undefined) return {};
  kernel.makeNonDumpable();
  return { vfTokenFor: await readVfTokens(vfTokenFile, kernel.uid) };
}

type Argv = readonly [string, ...string[]];

/** How the slices get to the importer. */
type Way = { readonly exec: Argv } | { readonly send: string };

/** @throws {CommandError} usage: it must be said, and only once */
function wayTo({ exec, send, env }: Flags, command: readonly string[]): Way {
  if (send !== undefined && !exec && command.length === 0 && env === undefined) {
    return { send: send.startsWith("/") ? send : `${Deno.cwd()}/${send}` };
  }
  if (send === undefined && exec && hasProgram(command)) return { exec: command };
  throw new CommandError(
    send === undefined
      ? "Cannot export: say what is to get the slices: bargate export POLICY --exec -- PROGRAM ARGUMENTS, or bargate export POLICY --send SOCKET"
      : "Cannot export: --send SOCKET goes without --exec, --env and a program, for the importer runs already",
    ExitStatus.usage,
  );
}

/** @throws {CommandError} usage: only the operator of a simulated host does anything to its devices */
function refuseUnsimulated({ sim, gateResets, vfTokenFile }: Flags): void {
  if (sim === undefined || !(gateResets || vfTokenFile !== undefined)) return;
  throw new CommandError(
    "Cannot export: --sim goes without --gate-resets and --vf-token-file, for nobody else resets a simulated device, or has its physical function",
    ExitStatus.usage,
  );
}

/** @throws {CommandError} host not ready: no process of this machine has a simulated device open */
function refuseBorrowed({ simulated }: Kernel, { grants }: Plan): void {
  const borrowed = grants.find(({ device }) => device.owner !== undefined);
  if (simulated !== true || borrowed === undefined) return;
  throw new CommandError(
    `Cannot borrow ${borrowed.device.address}: on a simulated host no other process has a device open`,
    ExitStatus.hostNotReady,
  );
}

function hasProgram(command: readonly string[]): command is Argv {
  return command.length > 0;
}

function reportFor(context: Context, format: ReportFormat): ExportReport {
  const style = styleFor(context.colours && context.process.stderr.isTerminal);
  return new ExportReport({ format, ...context.background, style, clock: systemClock });
}

/** What a guardian is to do. */
interface Task {
  readonly plan: Plan;
  readonly source: ImporterSource;
  readonly flags: Flags;
  readonly vfTokenFor?: VfTokenSource;
}

/** Everything that is around a guardian's run: signals, and the operator's socket. */
async function guard(
  context: Context,
  { kernel, files }: OpenHost,
  { plan, source, flags, ...vfTokens }: Task,
  report: ExportReport,
): Promise<number> {
  const kind = kernel.simulated === true ? "simulated" : "real";
  const folder = runtimeFolder(kernel.uid, undefined, kind);
  await ensureRuntimeFolder(kernel.uid, folder);
  const socket = await listenForOperators(kernel, folder);
  const marked = kernel.simulated === true ? { simulated: true } as const : {};
  const log = new EventLog(
    plan.policy,
    Date.now,
    (event) => report.event({ ...event, ...marked }),
  );
  const { gateResets, traceRevokes } = flags;
  const guardian = new Guardian(plan, {
    kernel,
    clock: systemClock,
    log,
    limitMs: LIMIT_MS,
    files,
    observe: { gateResets, traceRevokes },
    ...vfTokens,
  });
  const control = new ControlServer(kernel, socket.listener, operatorHandler(guardian));
  const stopListening = shutdownSignals(context, guardian, report).listen();
  try {
    await guardian.meet(source);
    await guardian.open();
    const { child, trouble } = await guardian.run(source);
    return trouble ? ExitStatus.revokeFailed : statusOf(child);
  } finally {
    stopListening();
    control.close();
    await removeSocket(socket.path).catch((error: unknown) => report.mention(error));
  }
}

function shutdownSignals(
  context: Context,
  guardian: Guardian,
  report: ExportReport,
): ShutdownSignals {
  return new ShutdownSignals({
    shutdown: (signal) => guardian.shutdown(signal),
    failed: (error) => report.problem(error),
    again: (signal) => {
      const found = guardian.insist(signal);
      // The program's end is the guardian's, which says the rest.
      if (found === "killed") return;
      const { why, status } = lastWords(signal, found === "grants");
      // `lastWord` never rejects, and takes no longer than it is told.
      void report.lastWord(why).then(() => context.exitNow(status));
    },
  }, () => performance.now());
}

/** What a signal that ends Bargate at once ends with. */
function lastWords(
  signal: string,
  grantsStand: boolean,
): { readonly why: string; readonly status: number } {
  const ended = `bargate: ended by a second signal (${signal})`;
  if (!grantsStand) {
    return { why: `${ended}; no grant stands`, status: exitStatusOf(new InterruptedError(signal)) };
  }
  const why = `${ended} before all grants had ended; the kernel takes back what is left`;
  return { why, status: ExitStatus.revokeFailed };
}

/** The program is one importer, to whom all grants go. */
function importerOf({ grants }: Plan): ImporterRule {
  return onlyImporter(
    new Map(grants.map(({ importer, importerName }) => [importerName, importer])),
  );
}

/** Settles who gets the slices, and what is started with what, before anything is exported. */
async function importerSource(
  { kernel, files }: OpenHost,
  importer: ImporterRule,
  way: Way,
  { allowSameUser, env = [], format }: Flags,
): Promise<ImporterSource> {
  if ("send" in way) return new ConnectedPeer({ path: way.send, importer, files, allowSameUser });
  const path = await findProgram(way.exec[0]);
  const recipient = checkRecipient(kernel, files, importer, path, allowSameUser);
  const { account } = recipient;
  const own = Deno.env.toObject();
  return new StartedProgram(importer.name, {
    recipient,
    argv: way.exec,
    env: childEnvironment(account, own, env, account.uid !== kernel.uid),
    stdoutToStderr: format !== "human",
  });
}

/** A program's own; where the importer is not Bargate's to wait for, that it has ended is all. */
function statusOf(end: ChildEnd | undefined): number {
  if (end === undefined) return ExitStatus.done;
  return end.how === "exited" ? end.status : SIGNALLED + end.signal;
}

function tellDiagnostics(context: Context, flags: Flags, prepared: Prepared): void {
  const { loaded, diagnostics } = prepared;
  showDiagnostics(context, prepared, diagnostics);
  if (flags.format === "human" || prepared.status === ExitStatus.done) return;
  context.process.stdout.write(jsonDiagnostics(diagnostics, summarize(diagnostics, loaded)));
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: exportSlices,
  parameters: {
    flags: {
      exec: {
        kind: "boolean",
        default: false,
        brief: "Start the program after -- and give it the slices",
      },
      send: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "socket",
        brief: "Connect to the importer's socket, check who it is, and send it the slices",
      },
      importer: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Which importer of the policy the program is",
      },
      plan: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Refuse unless exactly what this file planned would be done (bargate plan --out)",
      },
      format: {
        kind: "enum",
        values: ["human", "json", "jsonl"],
        default: "human",
        brief: "How to print events; human goes to standard error",
      },
      env: {
        kind: "parsed",
        parse: parseVariable,
        variadic: true,
        optional: true,
        placeholder: "name[=value]",
        brief: "Pass a variable on to the program, or set it; can be given several times",
      },
      allowSameUser: {
        kind: "boolean",
        default: false,
        brief: "Accept a program that runs as the same account as Bargate",
      },
      gateResets: {
        kind: "boolean",
        default: false,
        brief:
          "Let others' sysfs resets wait until the grants have ended (the kernel logs a taint: fanotify permission events)",
      },
      traceRevokes: {
        kind: "boolean",
        default: false,
        brief: "Tell of every revoke in the kernel, by a kprobe (root)",
      },
      vfTokenFile: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief:
          "Open virtual functions with the tokens of this private file: one UUID, or lines ADDRESS UUID",
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
    brief: "Export slices to a program, guard them, and take them back",
    customUsage: [
      "[options] <path>... --exec -- PROGRAM [ARGUMENT...]",
      "[options] <path>... --send SOCKET",
    ],
    fullDescription: [
      "Export slices to a program, guard them, and take them back.",
      "",
      "What follows -- is the program, started with --exec, and its arguments; options of Bargate come",
      "before it.",
    ].join("\n"),
  },
});
