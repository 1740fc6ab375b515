/**
 * Policy files for verbs that need a valid set.
 *
 * @module
 */
import type { Diagnostic } from "../policy/diagnostic.ts";
import { type LoadOptions, loadPolicySet, type LoadResult } from "../policy/load.ts";
import type { Context } from "./context.ts";
import { humanDiagnostics } from "./output/human.ts";
import { jsonDiagnostics } from "./output/json.ts";
import { junitDiagnostics } from "./output/junit.ts";
import { summarize, type Summary } from "./output/summary.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

/** Policies with the files they are from. */
export interface Loaded {
  readonly files: readonly PolicyFile[];
  readonly result: LoadResult;
}

/**
 * Reads and checks policy files.
 *
 * @param options how to check
 * @throws {CommandError} usage: a path cannot be read
 */
export async function loadFiles(
  context: Context,
  paths: readonly string[],
  options: LoadOptions = {},
): Promise<Loaded> {
  const files = await readPolicyFiles(paths, context.readStdin);
  return { files, result: loadPolicySet(files, options) };
}

/** The text of a file by its name, for code frames. */
export function textsOf(files: readonly PolicyFile[]): (file: string) => string | undefined {
  const texts = new Map(files.map(({ file, bytes }) => [file, bytes]));
  const decoder = new TextDecoder();
  return (file) => decoder.decode(texts.get(file));
}

/** What of the problems to show, and how. */
export interface ProblemOptions {
  /** What is wrong beside the policies. */
  readonly more?: readonly Diagnostic[];
  /** Diagnostics of the policies; default: all of them. */
  readonly found?: readonly Diagnostic[];
  /** How the verb prints its result; default: for people. */
  readonly format?: ProblemFormat;
}

/** Formats in which verbs that need a valid set print their results. */
type ProblemFormat = "human" | "json" | "junit";

/** Writes the errors of files to standard error, and for a program {@linkcode writeProblems}. */
export function showProblems(
  context: Context,
  { files, result }: Loaded,
  { more = [], found = result.diagnostics, format = "human" }: ProblemOptions = {},
): void {
  const { stderr } = context.process;
  const errors = [...found, ...more].filter(({ severity }) => severity === "error");
  stderr.write(humanDiagnostics(errors, {
    textOf: textsOf(files),
    coloured: context.colours && stderr.isTerminal,
  }));
  writeProblems(context, [{ files, result }], format, more);
}

/**
 * A program that waits for a result gets on standard output what `validate` would print in its
 * format: without a word from there it could take the run for one that found nothing.
 */
export function writeProblems(
  context: Context,
  loaded: readonly Loaded[],
  format: ProblemFormat,
  more: readonly Diagnostic[] = [],
): void {
  const all = [...loaded.flatMap(({ result }) => result.diagnostics), ...more];
  const { stdout } = context.process;
  if (format === "json") {
    stdout.write(jsonDiagnostics(all, sumOf(all, loaded.map(({ result }) => result))));
  } else if (format === "junit") {
    const names = loaded.flatMap(({ files }) => files.map(({ file }) => file));
    stdout.write(junitDiagnostics(all, names));
  }
}

function sumOf(all: readonly Diagnostic[], results: readonly LoadResult[]): Summary {
  const sum = (of: (result: LoadResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  return summarize(all, {
    files: sum(({ files }) => files),
    exports: sum(({ exports }) => exports),
    omitted: {
      error: sum(({ omitted }) => omitted.error),
      warning: sum(({ omitted }) => omitted.warning),
      note: sum(({ omitted }) => omitted.note),
    },
  });
}
