/** Compares Bargate's struct layouts with what the C compiler makes of the kernel's headers. @module */
import { checkedLayoutsFile, layoutProbeSource } from "../ffi/generate_layout_probe.ts";
import { exec } from "./exec.ts";
import { temporaryFolder } from "./folders.ts";
import { compileC } from "./guest_programs.ts";
import { join } from "./path.ts";
import { checkoutFolder } from "./places.ts";
import type { CaseResult } from "./protocol/message.ts";

/** The case's name. */
export const LAYOUTS_CASE = "layouts: the checked-in table is what the C compiler says";

const RUN_LIMIT_MS = 30_000;

function checkedFile(): string {
  return join(checkoutFolder(), "ffi/layouts.checked.json");
}

/**
 * @param headers the kernel's user-space headers
 * @returns what `ffi/layouts.checked.json` should hold
 * @throws LabError when the program cannot be compiled or run
 */
async function compilerSays(headers: string): Promise<string> {
  const folder = await temporaryFolder("bargate-lab-layouts-");
  try {
    const [source, program] = [join(folder, "probe.c"), join(folder, "probe")];
    await Deno.writeTextFile(source, layoutProbeSource());
    await compileC(program, [source], headers);
    const printed = await exec("run the layout probe", [program], { limitMs: RUN_LIMIT_MS });
    return checkedLayoutsFile(printed);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Writes what the compiler says into the checkout.
 *
 * @param headers the kernel's user-space headers
 * @returns path of the file
 */
export async function updateLayouts(headers: string): Promise<string> {
  await Deno.writeTextFile(checkedFile(), await compilerSays(headers));
  return checkedFile();
}

/**
 * @param headers the kernel's user-space headers
 * @returns the case's result
 */
export async function checkLayouts(headers: string): Promise<CaseResult> {
  const started = performance.now();
  const differences = layoutDifferences(
    await Deno.readTextFile(checkedFile()),
    await compilerSays(headers),
  );
  const common = { kind: "case", name: LAYOUTS_CASE, ms: performance.now() - started } as const;
  if (differences.length === 0) return { ...common, state: "passed" };
  return {
    ...common,
    state: "failed",
    message:
      `${differences.length} lines differ; if the kernel is right, run with --update-layouts`,
    detail: differences.slice(0, 40).join("\n"),
  };
}

/**
 * @param why it cannot be run
 * @returns the case's result
 */
export function skippedLayouts(why: string): CaseResult {
  return { kind: "case", name: LAYOUTS_CASE, ms: 0, state: "skipped", message: why };
}

/**
 * Compares line by line. The version of the headers may differ: a newer kernel with the same
 * layouts is no difference.
 *
 * @param checkedIn content of `ffi/layouts.checked.json`
 * @param compiled what the compiler says
 * @returns the lines that only one of the two has
 */
export function layoutDifferences(checkedIn: string, compiled: string): readonly string[] {
  const flat = (text: string) => new Set(flatten(JSON.parse(text)).filter(isNoVersion));
  const [ours, theirs] = [flat(checkedIn), flat(compiled)];
  return [
    ...[...ours.difference(theirs)].map((line) => `checked in: ${line}`),
    ...[...theirs.difference(ours)].map((line) => `compiler:   ${line}`),
  ];
}

function isNoVersion(line: string): boolean {
  return !line.startsWith("kernel = ");
}

function flatten(value: unknown, path = ""): readonly string[] {
  if (typeof value !== "object" || value === null) return [`${path} = ${JSON.stringify(value)}`];
  return Object.entries(value).flatMap(([key, inner]) =>
    flatten(inner, path === "" ? key : `${path}.${key}`)
  );
}
