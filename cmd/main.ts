/**
 * The command line's entry. It only lists the verbs: each is a file of its own, loaded only when it
 * is the one asked for, so that a verb neither starts slower for the others nor needs their rights.
 *
 * @module
 */
import {
  buildApplication,
  buildCommand,
  buildRouteMap,
  type Command,
  run,
  text_en,
} from "@stricli/core";
import { type Context, processContext } from "./context.ts";
import { errorText } from "./error_text.ts";
import { exitStatusOf } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/** A verb: its line in the help, and where it is. */
export interface Verb {
  /** The same text as in the command's own documentation. */
  readonly brief: string;
  readonly load: () => Promise<{ readonly command: Command<Context> }>;
  /** What follows `--` is a program and its arguments. */
  readonly takesCommand?: true;
}

/**
 * Loads a verb that the runtime must not find beforehand: it reads whatever a literal import leads
 * to, even if it is never reached, and so every verb would start slower with each that is added.
 * Such a verb needs the right to read Bargate's own files, which those that reach the kernel have;
 * verbs that must run with the right to read policies only are imported literally.
 */
function loadUnlinked(file: string): ReturnType<Verb["load"]> {
  return import(file);
}

/** All verbs, in the order of the help text. */
export const VERBS: Readonly<Record<string, Verb>> = {
  validate: {
    brief: "Check policy files and say exactly where they are wrong",
    load: () => import("./validate.ts"),
  },
  fmt: {
    brief: "Rewrite policy files in their canonical form, comments kept",
    load: () => import("./fmt.ts"),
  },
  test: {
    brief: "Ask policies the questions of their tests",
    load: () => import("./test.ts"),
  },
  explain: {
    brief: "Say why a request is allowed or not, or what a code or an errno means",
    load: () => import("./explain.ts"),
  },
  diff: {
    brief: "Say what two policy sets allow differently; exit with 1 if it is more",
    load: () => import("./diff.ts"),
  },
  schema: {
    brief: "Print the JSON Schema of a kind of policy file, for editors",
    load: () => import("./schema.ts"),
  },
  plan: {
    brief: "Show what would be exported on this host, down to the bytes",
    load: () => loadUnlinked("./plan.ts"),
  },
  export: {
    brief: "Export slices to a program, guard them, and take them back",
    load: () => loadUnlinked("./export.ts"),
    takesCommand: true,
  },
  reset: {
    brief: "Reset a device that is exported from; its grants end or are restored",
    load: () => loadUnlinked("./reset.ts"),
  },
  lab: {
    brief: "Try Bargate on a real kernel under QEMU: a story, the test cases, or a shell",
    load: () => loadUnlinked("./lab.ts"),
  },
};

/** Stands in for a verb that was not asked for: enough for the list of verbs, nothing more. */
function placeholder(brief: string): Command<Context> {
  return buildCommand<NonNullable<unknown>, [], Context>({
    func: () => new Error(`Cannot run a verb that was not loaded: ${brief}`),
    parameters: {},
    docs: { brief },
  });
}

async function routes(wanted: string | undefined): Promise<Record<string, Command<Context>>> {
  const entries = Object.entries(VERBS).map(async ([name, verb]) =>
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
function splitCommand(args: readonly string[]): [readonly string[], readonly string[]] {
  const at = args.indexOf("--");
  if (at < 0 || VERBS[args[0] ?? ""]?.takesCommand !== true) return [args, []];
  return [args.slice(0, at), args.slice(at + 1)];
}

/**
 * Runs one command line.
 *
 * @param args what follows `bargate`
 * @param context the process's side, replaceable for tests
 * @returns the exit status
 */
export async function main(args: readonly string[], context: Context): Promise<number> {
  if (args.length === 0) {
    // Asked for nothing: the help is an answer to a mistake then, and no result.
    const { stderr } = context.process;
    await main(["--help"], { ...context, process: { stdout: stderr, stderr } });
    return ExitStatus.usage;
  }
  const root = buildRouteMap<string, Context>({
    routes: await routes(args[0]),
    docs: { brief: "Decide, export and revoke slices of PCI BARs as dma-bufs, by policy" },
  });
  const app = buildApplication(root, {
    name: "bargate",
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
  const [own, command] = splitCommand(args);
  await run(app, own, { ...context, command });
  return toExitStatus(context.process.exitCode);
}

if (import.meta.main) {
  const context = processContext();
  try {
    Deno.exitCode = await main(Deno.args, context);
  } catch (error) {
    context.process.stderr.write(`${errorText(error)}\n`);
    Deno.exitCode = exitStatusOf(error);
  }
}
