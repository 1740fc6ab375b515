/**
 * `bargate export`: exports what the policy allows, gives it to a program, and takes it back. Bargate
 * stays as the guardian: when it ends, however it ends, so do the grants.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { systemClock } from "../engine/clock.ts";
import { ControlServer } from "../engine/control.ts";
import { type Event, EventLog } from "../engine/event.ts";
import { type Command, type GuardedEnd, Guardian } from "../engine/guardian.ts";
import type { Route } from "../engine/group_access.ts";
import type { ChildEnd } from "../engine/kernel.ts";
import type { Plan } from "../engine/plan.ts";
import type { ImporterRule } from "../policy/model.ts";
import { checkRecipient, type Recipient } from "../engine/recipient.ts";
import { LinuxFiles } from "../ffi/linux_files.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { findProgram } from "./find_program.ts";
import { eventText } from "./output/event_text.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { styleFor } from "./output/style.ts";
import { summarize } from "./output/summary.ts";
import { pathArgument } from "./path_argument.ts";
import { type Prepared, preparePlan, showDiagnostics } from "./prepare_plan.ts";
import { ensureRuntimeFolder } from "./runtime_folder.ts";

interface Flags {
  readonly exec: boolean;
  readonly importer?: string;
  readonly format: "human" | "json" | "jsonl";
  readonly allowSameUser: boolean;
  readonly acceptUnwaitedRevoke: boolean;
  readonly route?: Route;
}

/** How long a call of an end may take before it is reported as late. */
const LIMIT_MS = 5_000;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** A shell tells a death by signal so. */
const SIGNALLED = 128;

async function exportSlices(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const [program, ...args] = this.command;
  if (!flags.exec || program === undefined) {
    throw new CommandError(
      "Cannot export: say what is to get the slices: bargate export POLICY --exec -- PROGRAM ARGUMENTS",
      ExitStatus.usage,
    );
  }
  const kernel = new LinuxKernel();
  const files = new LinuxFiles();
  const { release, pageSize } = kernel;
  const prepared = await preparePlan(this, { files, release, pageSize }, paths, {
    ...(flags.importer === undefined ? {} : { importer: flags.importer }),
    ...(flags.route === undefined ? {} : { route: flags.route }),
    acceptUnwaitedRevoke: flags.acceptUnwaitedRevoke,
  });
  const { plan } = prepared;
  tellDiagnostics(this, flags, prepared);
  if (plan === undefined || prepared.status !== ExitStatus.done) {
    this.exitWith(prepared.status);
    return;
  }
  const importer = onlyImporter(plan);
  const recipient = checkRecipient(
    kernel,
    files,
    importer,
    await findProgram(program),
    flags.allowSameUser,
  );
  const events = new EventWriter(this, flags.format);
  const log = new EventLog(plan.policy, Date.now, (event) => events.write(event));
  const guardian = new Guardian(plan, { kernel, clock: systemClock, log, limitMs: LIMIT_MS });
  const command = commandOf(recipient, [program, ...args], flags);
  const end = await guarded(kernel, guardian, command);
  const status = end.trouble ? ExitStatus.revokeFailed : statusOf(end.child);
  events.close(status);
  this.exitWith(status);
  // A call that does not return keeps its thread, and would keep this process from ending by itself.
  if (end.trouble) Deno.exit(status);
}

/** Everything that is around a guardian's run: signals, and the operator's socket. */
async function guarded(
  kernel: LinuxKernel,
  guardian: Guardian,
  command: Command,
): Promise<GuardedEnd> {
  const path = `${await ensureRuntimeFolder(kernel.uid)}/${kernel.pid}.sock`;
  const control = new ControlServer(kernel, kernel.listen(path), async (request, operator) => {
    const who = `process ${operator.pid} of account ${operator.uid}`;
    const done = await guardian.reset(request.device, request.method, who);
    return done === undefined ? { type: "absent" } : { type: "done", ...done };
  });
  const calledOff = onSignals((signal) => guardian.shutdown(signal));
  try {
    await guardian.open();
    return await guardian.run(command);
  } finally {
    calledOff();
    control.close();
    await Deno.remove(path);
  }
}

function onSignals(shutdown: (signal: string) => Promise<void>): () => void {
  const listeners = SIGNALS.map((signal) => {
    const listener = () => void shutdown(signal);
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  return () => {
    for (const remove of listeners) remove();
  };
}

/**
 * With several importers in the policies it must be said which one the program is: importers of two
 * policies can have one name, and be two different accounts.
 */
function onlyImporter(plan: Plan): ImporterRule {
  const importers = new Map(
    plan.grants.map(({ importer, importerName }) => [importerName, importer]),
  );
  const [importer] = importers.values();
  if (importer === undefined || importers.size > 1) {
    const names = [...importers.keys()].join(", ");
    throw new CommandError(
      `Cannot tell which importer the program is: it could be ${names}; say it with --importer`,
      ExitStatus.usage,
    );
  }
  return importer;
}

function commandOf(recipient: Recipient, argv: readonly string[], flags: Flags): Command {
  const inherited = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !name.startsWith("LISTEN_") && name !== "NOTIFY_SOCKET"
  );
  const { name } = recipient.account;
  return {
    recipient,
    argv,
    env: { ...Object.fromEntries(inherited), USER: name, LOGNAME: name },
    stdoutToStderr: flags.format !== "human",
  };
}

function statusOf(end: ChildEnd): number {
  return end.how === "exited" ? end.status : SIGNALLED + end.signal;
}

function tellDiagnostics(context: Context, flags: Flags, prepared: Prepared): void {
  const { loaded, plan } = prepared;
  const diagnostics = [...loaded.diagnostics, ...plan?.diagnostics ?? []];
  showDiagnostics(context, prepared, diagnostics);
  if (flags.format === "human" || prepared.status === ExitStatus.done) return;
  context.process.stdout.write(jsonDiagnostics(diagnostics, summarize(diagnostics, loaded)));
}

/** Writes events: as they happen, or as one value at the end. */
class EventWriter {
  readonly #all: Event[] = [];

  constructor(private readonly context: Context, private readonly format: Flags["format"]) {}

  write(event: Event): void {
    const { stdout, stderr } = this.context.process;
    if (this.format === "json") this.#all.push(event);
    if (this.format === "jsonl") stdout.write(`${JSON.stringify(event)}\n`);
    const style = styleFor(this.context.colours && stderr.isTerminal);
    if (this.format === "human") stderr.write(`bargate ${eventText(event, style)}\n`);
  }

  close(status: number): void {
    if (this.format !== "json") return;
    this.context.process.stdout.write(`${JSON.stringify({ events: this.#all, status })}\n`);
  }
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
      importer: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Which importer of the policy the program is",
      },
      format: {
        kind: "enum",
        values: ["human", "json", "jsonl"],
        default: "human",
        brief: "How to print events; human goes to standard error",
      },
      allowSameUser: {
        kind: "boolean",
        default: false,
        brief: "Accept a program that runs as the same account as Bargate",
      },
      route: {
        kind: "enum",
        values: ["cdev", "group"],
        optional: true,
        brief: "Open devices by character device or by IOMMU group (default: as the host has it)",
      },
      acceptUnwaitedRevoke: {
        kind: "boolean",
        default: false,
        brief: "Accept Linux 6.19 to 7.0, whose revoke does not wait for importers to unmap",
      },
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
  docs: { brief: "Export slices to a program, guard them, and take them back" },
});
