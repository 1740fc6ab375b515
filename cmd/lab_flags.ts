/**
 * Options of the verb `lab`, and which go together.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/** The verb's options. */
export interface LabFlags {
  readonly test: boolean;
  readonly shell: boolean;
  readonly updateLayouts: boolean;
  readonly updateConformance: boolean;
  readonly long: boolean;
  readonly seed?: number;
  readonly only?: string;
  readonly repeat?: number;
  readonly kernel?: string;
  readonly headers?: string;
  readonly format: "human" | "json";
}

/**
 * Refuses what would be ignored: somebody would believe that it was done.
 *
 * @param flags the options that are given
 * @param story the story that is asked for by name
 * @throws CommandError usage: they do not go together
 */
export function refuseContradictions(flags: LabFlags, story: string | undefined): void {
  const { test, shell, updateLayouts, updateConformance } = flags;
  if (
    [test, shell, updateLayouts, updateConformance, story !== undefined].filter(Boolean).length > 1
  ) {
    throw refused(
      "--test, --shell, --update-layouts, --update-conformance and a story exclude each other",
    );
  }
  const needs: readonly (readonly [string, boolean, boolean, string])[] = [
    ["--only", flags.only !== undefined, test, "without --test"],
    ["--repeat", flags.repeat !== undefined, test, "without --test"],
    ["--long", flags.long, test || updateConformance, "without --test or --update-conformance"],
    ["--seed", flags.seed !== undefined, flags.long, "without --long"],
    ["--headers", flags.headers !== undefined, flags.kernel !== undefined, "without --kernel"],
    ["--format json", flags.format === "json", !shell, "with --shell"],
    ["--format json", flags.format === "json", !updateLayouts, "with --update-layouts"],
    ["--format json", flags.format === "json", !updateConformance, "with --update-conformance"],
  ];
  for (const [option, given, meant, why] of needs) {
    if (given && !meant) throw refused(`${option} has no effect ${why}`);
  }
}

function refused(why: string): CommandError {
  return new CommandError(`Cannot run the laboratory: ${why}`, ExitStatus.usage);
}
