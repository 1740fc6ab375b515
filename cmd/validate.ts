/**
 * `bargate validate`: checks policy files and says exactly where they are wrong. Needs no right but
 * to read the files.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { isPageSize } from "../policy/load.ts";
import { parseQuantity } from "../policy/quantity.ts";
import { checkFiles, type CheckFlags, FORMATS } from "./check_files.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error_text.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";

interface WatchFlags extends CheckFlags {
  readonly watch: boolean;
}

function parsePageSize(text: string): number {
  const result = parseQuantity(text);
  const bytes = result.ok ? Number(result.value) : NaN;
  if (isPageSize(bytes)) return bytes;
  throw new CommandError(
    result.ok
      ? `Cannot use the page size: it is no power of two from 4096 up (received ${text})`
      : `Cannot use the page size: ${result.why} (received ${text}); ${result.fix}`,
    ExitStatus.usage,
  );
}

async function validate(this: Context, flags: WatchFlags, ...paths: string[]): Promise<void> {
  if (!flags.watch) return this.exitWith(await checkFiles(this, flags, paths));
  if (paths.includes("-")) {
    throw new CommandError("Cannot watch standard input (received -)", ExitStatus.usage);
  }
  const { watchFiles } = await import("./watch_files.ts");
  await watchFiles(paths, {
    check: (changed) => checkAgain(this, flags, paths, changed),
    tell: (text) => this.process.stderr.write(`${visible(text)}\n`),
  });
}

/** One file can make another wrong, so a change of one is a check of all. */
async function checkAgain(
  context: Context,
  flags: WatchFlags,
  paths: readonly string[],
  changed: readonly string[],
): Promise<void> {
  if (changed.length > 0) {
    context.process.stderr.write(`changed: ${changed.map(visible).join(", ")}\n`);
  }
  try {
    await checkFiles(context, flags, paths);
  } catch (error) {
    // A file that is just being replaced may be away for a moment.
    if (!(error instanceof CommandError)) throw error;
    context.process.stderr.write(`${errorText(error)}\n`);
  }
}

/** The verb. */
export const command = buildCommand<WatchFlags, string[], Context>({
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
