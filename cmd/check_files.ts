/**
 * What `bargate validate` does with its files, apart from its command line.
 *
 * @module
 */
import { loadPolicySet, type LoadResult } from "../policy/load.ts";
import { formatQuantity } from "../policy/quantity.ts";
import type { Context } from "./context.ts";
import { ExitStatus } from "./exit_status.ts";
import { humanSummary, summarize, type Summary, type Verdict } from "./output/summary.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

/** Formats of the result. */
export const FORMATS = ["human", "json", "jsonl", "sarif", "github", "junit"] as const;

/** How to check and print. */
export interface CheckFlags {
  readonly format: typeof FORMATS[number];
  readonly pageSize?: number;
  readonly denyWarnings: boolean;
}

/** What a run without options does. */
export const PLAIN: CheckFlags = { format: "human", denyWarnings: false };

/**
 * Checks policy files once and prints what is wrong with them.
 *
 * @returns the exit status
 * @throws {CommandError} usage: a path cannot be read
 */
export async function checkFiles(
  context: Context,
  flags: CheckFlags,
  paths: readonly string[],
): Promise<ExitStatus> {
  const files = await readPolicyFiles(paths, context.readStdin);
  const { pageSize } = flags;
  const result = loadPolicySet(files, pageSize === undefined ? {} : { pageSize });
  const summary = summarize(result.diagnostics, result);
  const verdict = verdictOf(flags, result, summary);
  context.process.stdout.write(await format(flags, { result, summary, verdict, files, context }));
  const refused = verdict.policy === undefined || verdict.refused !== undefined;
  return refused ? ExitStatus.invalidPolicy : ExitStatus.done;
}

function verdictOf({ denyWarnings }: CheckFlags, { set }: LoadResult, summary: Summary): Verdict {
  if (set === undefined) return {};
  const policy = set.digest;
  if (!denyWarnings || summary.warnings === 0) return { policy };
  return { policy, refused: "Cannot accept warnings (--deny-warnings)" };
}

interface Outcome {
  readonly result: LoadResult;
  readonly summary: Summary;
  readonly verdict: Verdict;
  readonly files: readonly PolicyFile[];
  readonly context: Context;
}

/** Writers are loaded when they have something to write: most runs find nothing. */
async function format(flags: CheckFlags, outcome: Outcome): Promise<string> {
  const { result: { diagnostics }, summary, verdict, files } = outcome;
  switch (flags.format) {
    case "sarif":
      return (await import("./output/sarif.ts")).sarifDiagnostics(diagnostics, verdict);
    case "github":
      return (await import("./output/github.ts"))
        .githubDiagnostics(diagnostics, verdict, resultOf(verdict, summary));
    case "junit": {
      const { junitDiagnostics } = await import("./output/junit.ts");
      return junitDiagnostics(diagnostics, files.map(({ file }) => file), flags.denyWarnings);
    }
    case "json":
      return (await import("./output/json.ts")).jsonDiagnostics(diagnostics, summary, verdict);
    case "jsonl":
      return (await import("./output/jsonl.ts")).jsonlDiagnostics(diagnostics, summary, verdict);
    case "human":
      return await forPeople(flags, outcome);
  }
}

/** A set that is not accepted is told of already. */
function resultOf({ policy, refused }: Verdict, summary: Summary): string | undefined {
  if (policy === undefined || refused !== undefined) return undefined;
  return `valid ${policy}: ${humanSummary(summary)}`;
}

async function forPeople(flags: CheckFlags, outcome: Outcome): Promise<string> {
  const { result, summary, verdict: { policy, refused } } = outcome;
  const diagnostics = result.diagnostics.length === 0 ? "" : `${await framed(outcome)}\n`;
  const verdict = policy === undefined
    ? "invalid"
    : `${refused === undefined ? "valid" : "refused by --deny-warnings"} ${policy}`;
  const pages = flags.pageSize === undefined
    ? "page size 4KiB assumed (--page-size)"
    : `page size ${formatQuantity(BigInt(flags.pageSize))}`;
  return `${diagnostics}${verdict}: ${humanSummary(summary)}; ${pages}\n`;
}

async function framed({ result, files, context }: Outcome): Promise<string> {
  const { humanDiagnostics } = await import("./output/human.ts");
  const texts = new Map(files.map(({ file, bytes }) => [file, bytes]));
  const decoder = new TextDecoder();
  return humanDiagnostics(result.diagnostics, {
    textOf: (file) => decoder.decode(texts.get(file)),
    coloured: context.colours && context.process.stdout.isTerminal,
  });
}
