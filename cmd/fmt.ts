/**
 * `bargate fmt`: rewrites policy files in their canonical form. With `--check` it only reads.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import process from "node:process";
import { readSource } from "../policy/source.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import { visible, visibleLines } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

interface Flags {
  readonly check: boolean;
}

/** A file that is not in its canonical form. */
interface Change {
  readonly file: string;
  readonly before: string;
  readonly after: string;
}

async function fmt(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  // The YAML library asks the environment whether to log; that is no reason to need a right to it.
  process.env = {};
  const { formatPolicy } = await import("../policy/format.ts");
  const files = await readPolicyFiles(paths, this.readStdin);
  const problems: string[] = [];
  const changes = files.flatMap((source): Change[] => {
    const before = textOf(source);
    const result = before === undefined ? undefined : formatPolicy(before);
    if (before !== undefined && result?.ok) {
      return [{ file: source.file, before, after: result.text }];
    }
    const why = result?.ok === false ? result.why : "it is no text that a policy could be";
    problems.push(`Cannot format ${source.file}: ${why} (bargate validate says where)`);
    return [];
  });
  const different = changes.filter(({ before, after }) => before !== after);
  if (flags.check) await showDifferences(this, different);
  else changes.forEach((change) => apply(this, change));
  // A file that cannot be judged outweighs one that would change: the status is set once, at the end.
  if (problems.length > 0) throw new CommandError(problems, ExitStatus.invalidPolicy);
  this.exitWith(flags.check && different.length > 0 ? ExitStatus.denied : ExitStatus.done);
}

function textOf({ file, bytes }: PolicyFile): string | undefined {
  const read = readSource({ file, content: bytes });
  // The byte order mark that reading takes away is a difference too.
  return read.ok ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) : undefined;
}

function apply(context: Context, { file, before, after }: Change): void {
  if (file === "-") return context.process.stdout.write(after);
  if (before === after) return;
  try {
    Deno.writeTextFileSync(file, after);
  } catch (error) {
    throw new CommandError(
      `Cannot write ${file}: ${fileTrouble(error, "write")}`,
      ExitStatus.usage,
    );
  }
  context.process.stderr.write(`formatted ${visible(file)}\n`);
}

async function showDifferences(context: Context, different: readonly Change[]): Promise<void> {
  const { createTwoFilesPatch, FILE_HEADERS_ONLY } = await import("diff");
  for (const { file, before, after } of different) {
    const name = visible(file);
    const patch = createTwoFilesPatch(name, name, before, after, undefined, undefined, {
      headerOptions: FILE_HEADERS_ONLY,
    });
    context.process.stdout.write(visibleLines(patch));
  }
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: fmt,
  parameters: {
    flags: {
      check: {
        kind: "boolean",
        default: false,
        brief: "Change nothing; show what would change, and exit with 1 if anything would",
      },
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, patterns, or - for standard input to standard output",
        parse: pathArgument,
        placeholder: "path",
      },
    },
  },
  docs: { brief: "Rewrite policy files in their canonical form, comments kept" },
});
