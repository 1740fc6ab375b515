/**
 * Policy files for verbs that need a valid set.
 *
 * @module
 */
import type { Diagnostic } from "../policy/diagnostic.ts";
import { loadPolicySet, type LoadResult } from "../policy/load.ts";
import type { Context } from "./context.ts";
import { humanDiagnostics } from "./output/human.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

/** Policies with the files they are from. */
export interface Loaded {
  readonly files: readonly PolicyFile[];
  readonly result: LoadResult;
}

/**
 * Reads and checks policy files.
 *
 * @throws {CommandError} usage: a path cannot be read
 */
export async function loadFiles(context: Context, paths: readonly string[]): Promise<Loaded> {
  const files = await readPolicyFiles(paths, context.readStdin);
  return { files, result: loadPolicySet(files) };
}

/** The text of a file by its name, for code frames. */
export function textsOf(files: readonly PolicyFile[]): (file: string) => string | undefined {
  const texts = new Map(files.map(({ file, bytes }) => [file, bytes]));
  const decoder = new TextDecoder();
  return (file) => decoder.decode(texts.get(file));
}

/**
 * Writes what is wrong with the files to standard error.
 *
 * @param more what is wrong beside the policies
 */
export function showProblems(
  context: Context,
  { files, result }: Loaded,
  more: readonly Diagnostic[] = [],
): void {
  const errors = [...result.diagnostics, ...more].filter(({ severity }) => severity === "error");
  const { stderr } = context.process;
  stderr.write(humanDiagnostics(errors, {
    textOf: textsOf(files),
    coloured: context.colours && stderr.isTerminal,
  }));
}
