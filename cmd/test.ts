/**
 * `bargate test`: asks policies the questions of their tests.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { ExpectedDiagnostics } from "../policy/expected_diagnostics.ts";
import { runTests, type TestRun } from "../policy/run_tests.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { loadFiles, showProblems } from "./load_valid.ts";
import { humanTests, isCovered, jsonTests, junitTests } from "./output/tests.ts";
import { pathArgument } from "./path_argument.ts";

const FORMATS = ["human", "json", "junit"] as const;

interface Flags {
  readonly filter?: string;
  readonly format: typeof FORMATS[number];
  readonly coverage?: number;
}

function parsePercent(text: string): number {
  const value = Number(text);
  if (/^[0-9]{1,3}$/.test(text) && value <= 100) return value;
  throw new CommandError(
    `Cannot use the threshold: it is no whole number from 0 to 100 (received ${text})`,
    ExitStatus.usage,
  );
}

async function test(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  const loaded = await loadFiles(this, paths);
  const unexpected = new ExpectedDiagnostics(loaded.result).unexpectedErrors();
  // What is not shown of too many errors can be anything.
  if (unexpected.length > 0 || loaded.result.omitted.error > 0) {
    showProblems(this, loaded, { found: unexpected, format: flags.format });
    return this.exitWith(ExitStatus.invalidPolicy);
  }
  const { filter = "" } = flags;
  const run = runTests(loaded.result, (name) => name.includes(filter));
  if (run.results.length === 0) {
    throw new CommandError(
      filter === ""
        ? "Cannot find a test: no file is of kind PolicyTest"
        : `Cannot find a test whose name contains ${JSON.stringify(filter)}`,
      ExitStatus.usage,
    );
  }
  this.process.stdout.write(format(flags, run));
  this.exitWith(passed(flags, run) ? ExitStatus.done : ExitStatus.denied);
}

function format({ format, coverage }: Flags, run: TestRun): string {
  switch (format) {
    case "json":
      return jsonTests(run, coverage);
    case "junit":
      return junitTests(run, coverage);
    case "human":
      return humanTests(run, coverage);
  }
}

function passed({ coverage }: Flags, run: TestRun): boolean {
  return isCovered(run, coverage) && run.results.every(({ failure }) => failure === undefined);
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: test,
  parameters: {
    flags: {
      filter: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "text",
        brief: "Only cases whose name (test/case) contains this",
      },
      format: { kind: "enum", values: FORMATS, default: "human", brief: "How to print the result" },
      coverage: {
        kind: "parsed",
        parse: parsePercent,
        optional: true,
        placeholder: "percent",
        brief: "Fail when fewer of the rules have decided a case",
      },
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policies and their tests: files, folders, patterns, or -",
        parse: pathArgument,
        placeholder: "path",
      },
    },
  },
  docs: { brief: "Ask policies the questions of their tests" },
});
