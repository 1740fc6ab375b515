/**
 * Parses and explains command lines, and runs the verb that is asked for.
 *
 * @module
 */
import {
  buildApplication,
  buildCommand,
  buildRouteMap,
  type Command,
  type RouteMap,
  run,
  text_en,
} from "@stricli/core";
import type { Context } from "./context.ts";
import { errorText } from "./error_text.ts";
import { exitStatusOf } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { visible } from "./output/visible.ts";
import type { Verb } from "./verb.ts";
import { VERSION } from "./version.ts";

type Verbs = Readonly<Record<string, Verb>>;

/** Stands in for a verb that was not asked for: enough for the list of verbs, nothing more. */
function placeholder(brief: string): Command<Context> {
  return buildCommand<NonNullable<unknown>, [], Context>({
    func: () => new Error(`Cannot run a verb that was not loaded: ${brief}`),
    parameters: {},
    docs: { brief },
  });
}

async function routes(
  verbs: Verbs,
  wanted: string | undefined,
): Promise<Record<string, Command<Context> | RouteMap<Context>>> {
  const entries = Object.entries(verbs).map(async ([name, verb]) =>
    [name, name === wanted ? (await verb.load()).command : placeholder(verb.brief)] as const
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** Stricli's own codes are negative; all that can be wrong with a command line is a usage error. */
function toExitStatus(code: number | string | null | undefined): number {
  const status = Number(code ?? ExitStatus.done);
  if (status >= 0) return status;
  const usage = [-4, -5];
  return usage.includes(status) ? ExitStatus.usage : ExitStatus.refused;
}

/** Parts a verb's own arguments from those of the program that it starts. */
function splitCommand(
  verbs: Verbs,
  args: readonly string[],
): [readonly string[], readonly string[]] {
  const at = args.indexOf("--");
  if (at < 0 || verbs[args[0] ?? ""]?.takesCommand !== true) return [args, []];
  return [args.slice(0, at), args.slice(at + 1)];
}

/**
 * Runs one command line.
 *
 * @param verbs all there are
 * @param args what follows `bargate`
 * @param context the process's side
 * @returns the exit status
 */
export async function runCommandLine(
  verbs: Verbs,
  args: readonly string[],
  context: Context,
): Promise<number> {
  if (args.length === 0) {
    // Asked for nothing: the help is an answer to a mistake then, and no result.
    const { stderr } = context.process;
    await runCommandLine(verbs, ["--help"], { ...context, process: { stdout: stderr, stderr } });
    return ExitStatus.usage;
  }
  if (args[0] === "help") return await runCommandLine(verbs, [...args.slice(1), "--help"], context);
  const [own, command] = splitCommand(verbs, args);
  const wrong = unknownSubverb(verbs, own);
  if (wrong !== undefined) {
    context.process.stderr.write(`${visible(wrong)}\n`);
    return ExitStatus.usage;
  }
  const root = buildRouteMap<string, Context>({
    routes: await routes(verbs, args[0]),
    docs: { brief: "Decide, export and revoke slices of PCI BARs as dma-bufs, by policy" },
  });
  const app = buildApplication(root, {
    name: "bargate",
    versionInfo: { currentVersion: VERSION },
    scanner: { caseStyle: "allow-kebab-for-camel", allowArgumentEscapeSequence: true },
    determineExitCode: exitStatusOf,
    localization: {
      text: {
        ...text_en,
        exceptionWhileRunningCommand: errorText,
        exceptionWhileLoadingCommandFunction: errorText,
        exceptionWhileLoadingCommandContext: errorText,
        commandErrorResult: errorText,
      },
    },
  });
  await run(app, withSubverb(verbs, own), { ...context, command });
  const status = toExitStatus(context.process.exitCode);
  if (status === ExitStatus.done && asksForHelp(own)) {
    const { statusHelp } = await import("./status_help.ts");
    context.process.stdout.write(statusHelp(own[0] ?? ""));
  }
  return status;
}

function asksForHelp(args: readonly string[]): boolean {
  const at = args.indexOf("--");
  const options = at < 0 ? args : args.slice(0, at);
  return options.includes("--help") || options.includes("-h");
}

/** The help of a verb with subverbs is that of the one that is meant: it has the options. */
function withSubverb(verbs: Verbs, args: readonly string[]): readonly string[] {
  const [verb = "", second = "", ...rest] = args;
  const subverbs = Object.hasOwn(verbs, verb) ? verbs[verb]?.subverbs : undefined;
  const asks = second === "--help" || second === "-h";
  return subverbs !== undefined && asks ? [verb, subverbs[0], second, ...rest] : args;
}

/** No subverb takes a word of its own where the first one does without. */
function unknownSubverb(verbs: Verbs, [verb = "", second]: readonly string[]): string | undefined {
  const subverbs = Object.hasOwn(verbs, verb) ? verbs[verb]?.subverbs : undefined;
  if (subverbs === undefined || second === undefined || second.startsWith("-")) return undefined;
  if (subverbs.includes(second)) return undefined;
  const others = subverbs.map((name) => `bargate ${verb} ${name}`).join(" and ");
  return `No command registered for \`${verb} ${second}\`: there is ${others} (\`bargate ${verb} --help\`)`;
}
