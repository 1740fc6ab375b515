/**
 * `bargate validate`: checks policy files and says exactly where they are wrong. Needs no right but
 * to read the files.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { isPageSize, loadPolicySet, type LoadResult } from "../policy/load.ts";
import { formatQuantity, parseQuantity } from "../policy/quantity.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { humanDiagnostics, humanSummary } from "./output/human.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { jsonlDiagnostics } from "./output/jsonl.ts";
import { visible } from "./output/visible.ts";
import { summarize, type Summary } from "./output/summary.ts";
import { pathArgument } from "./path_argument.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

const FORMATS = ["human", "json", "jsonl", "sarif", "github", "junit"] as const;

interface Flags {
  readonly format: typeof FORMATS[number];
  readonly pageSize?: number;
  readonly denyWarnings: boolean;
  readonly watch: boolean;
}

function parsePageSize(text: string): number {
  const result = parseQuantity(text);
  const bytes = result.ok ? Number(result.value) : NaN;
  if (isPageSize(bytes)) return bytes;
  throw new CommandError(
    `Cannot use the page size: it is no power of two from 4096 up (received ${text})`,
    ExitStatus.usage,
  );
}

async function validate(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  if (!flags.watch) return this.exitWith(await checkOnce(this, flags, paths));
  if (paths.includes("-")) {
    throw new CommandError("Cannot watch standard input (received -)", ExitStatus.usage);
  }
  const { watchFiles } = await import("./watch_files.ts");
  await watchFiles(paths, (changed) => checkAgain(this, flags, paths, changed));
}

async function checkOnce(
  context: Context,
  flags: Flags,
  paths: readonly string[],
): Promise<ExitStatus> {
  const files = await readPolicyFiles(paths, context.readStdin);
  const { pageSize } = flags;
  const result = loadPolicySet(files, pageSize === undefined ? {} : { pageSize });
  const summary = summarize(result.diagnostics, result);
  context.process.stdout.write(await format(flags, { result, summary, files, context }));
  const refused = summary.errors > 0 || (flags.denyWarnings && summary.warnings > 0);
  return refused ? ExitStatus.invalidPolicy : ExitStatus.done;
}

/** One file can make another wrong, so a change of one is a check of all. */
async function checkAgain(
  context: Context,
  flags: Flags,
  paths: readonly string[],
  changed: readonly string[],
): Promise<void> {
  if (changed.length > 0) {
    context.process.stderr.write(`changed: ${changed.map(visible).join(", ")}\n`);
  }
  try {
    await checkOnce(context, flags, paths);
  } catch (error) {
    // A file that is just being replaced may be away for a moment.
    if (!(error instanceof CommandError)) throw error;
    context.process.stderr.write(`error: ${error.message}\n`);
  }
}

interface Outcome {
  readonly result: LoadResult;
  readonly summary: Summary;
  readonly files: readonly PolicyFile[];
  readonly context: Context;
}

async function format(flags: Flags, outcome: Outcome): Promise<string> {
  const { result, summary, files } = outcome;
  switch (flags.format) {
    case "sarif":
      return (await import("./output/sarif.ts")).sarifDiagnostics(result.diagnostics);
    case "github":
      return (await import("./output/github.ts")).githubDiagnostics(result.diagnostics);
    case "junit": {
      const { junitDiagnostics } = await import("./output/junit.ts");
      return junitDiagnostics(result.diagnostics, files.map(({ file }) => file));
    }
    case "json":
      return jsonDiagnostics(result.diagnostics, summary);
    case "jsonl":
      return jsonlDiagnostics(result.diagnostics, summary);
    case "human":
      return forPeople(flags, outcome);
  }
}

function forPeople(flags: Flags, { result, summary, files, context }: Outcome): string {
  const texts = new Map(files.map(({ file, bytes }) => [file, bytes]));
  const decoder = new TextDecoder();
  const diagnostics = humanDiagnostics(result.diagnostics, {
    textOf: (file) => decoder.decode(texts.get(file)),
    coloured: context.colours && context.process.stdout.isTerminal,
  });
  const verdict = result.set === undefined ? "invalid" : `valid ${result.set.digest}`;
  const pages = flags.pageSize === undefined
    ? "page size 4KiB assumed (--page-size)"
    : `page size ${formatQuantity(BigInt(flags.pageSize))}`;
  const gap = diagnostics === "" ? "" : "\n";
  return `${diagnostics}${gap}${verdict}: ${humanSummary(summary)}; ${pages}\n`;
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: validate,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: FORMATS,
        default: "human",
        brief: "How to print the result",
      },
      pageSize: {
        kind: "parsed",
        parse: parsePageSize,
        optional: true,
        placeholder: "bytes",
        brief: "Page size of the host that will export (default 4KiB)",
      },
      watch: {
        kind: "boolean",
        default: false,
        brief: "Check again whenever a file changes, until interrupted",
      },
      denyWarnings: { kind: "boolean", default: false, brief: "Take warnings for errors" },
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, patterns, or - for standard input",
        parse: pathArgument,
        placeholder: "path",
      },
    },
  },
  docs: { brief: "Check policy files and say exactly where they are wrong" },
});
