/**
 * `bargate lab`: a real kernel with devices to export from, on a machine that has neither.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { checkLayouts, LAYOUTS_CASE, skippedLayouts, updateLayouts } from "../lab/check_layouts.ts";
import {
  CONFORMANCE_PREFIX,
  HISTORIES_PREFIX,
  updateConformance,
  updateHistories,
} from "../lab/update_conformance.ts";
import { compileGuestPrograms } from "../lab/guest_programs.ts";
import { ensureKernel } from "../lab/kernel/ensure_kernel.ts";
import type { Kernel } from "../lab/kernel/cache.ts";
import { describeLabError, LabError } from "../lab/lab_error.ts";
import { type MachineParts, warmDenoCache } from "../lab/machine_parts.ts";
import { LabOutput } from "../lab/output.ts";
import { ensurePackages, findProgram, MACHINE_NEEDS } from "../lab/packages.ts";
import { cacheFolder, checkoutFolder } from "../lab/places.ts";
import type { CaseResult } from "../lab/protocol/message.ts";
import { caseLines, countLine, countStates, storyText } from "../lab/report.ts";
import { runCases } from "../lab/run_cases.ts";
import { readCommands } from "./lab_commands.ts";
import { runCommands } from "../lab/run_commands.ts";
import { runShell } from "../lab/run_shell.ts";
import { runStory, storyNames } from "../lab/run_story.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import { type LabFlags, refuseContradictions } from "./lab_flags.ts";

const DEFAULT_STORY = "cmb-to-edu";

async function lab(this: Context, flags: LabFlags, story?: string): Promise<void> {
  refuseContradictions(flags, story);
  // what a person follows goes to standard output, the preparations to standard error
  const progress = new LabOutput(this.process.stderr, this.colours);
  const results = new LabOutput(this.process.stdout, this.colours);
  try {
    this.exitWith(await run(flags, story ?? DEFAULT_STORY, this.process, progress, results));
  } catch (error) {
    throw labTrouble(error);
  }
}

/** What ended the verb, with what a person can do about it. */
function labTrouble(error: unknown): unknown {
  if (error instanceof LabError) {
    const status = error.named ? ExitStatus.usage : ExitStatus.hostNotReady;
    return new CommandError(describeLabError(error), status, { cause: error.cause });
  }
  if (!isFileError(error)) return error;
  const [, at = ""] = /\(os error \d+\)[:,]? *(.*)$/s.exec(error.message) ?? [];
  return new CommandError(
    `Cannot run the laboratory${at === "" ? "" : ` (${at})`}: ${fileTrouble(error, "write")}`,
    ExitStatus.hostNotReady,
  );
}

/** What the system answers about files and folders has its number in its text. */
function isFileError(error: unknown): error is Error {
  return error instanceof Error && /\(os error \d+\)/.test(error.message);
}

async function run(
  flags: LabFlags,
  story: string,
  process: Context["process"],
  progress: LabOutput,
  results: LabOutput,
): Promise<number> {
  const tells = !flags.test && !flags.shell && !flags.updateLayouts && !flags.updateConformance;
  if (tells) await requireStory(story);
  const commands = flags.shell && !Deno.stdin.isTerminal()
    ? await readCommands(progress)
    : undefined;
  await ensurePackages(MACHINE_NEEDS, progress);
  const kernel = await ensureKernel({
    cache: cacheFolder(),
    ...(flags.kernel !== undefined && { image: flags.kernel }),
    ...(flags.headers !== undefined && { headers: flags.headers }),
  }, progress);
  if (flags.updateLayouts) return await writeLayouts(kernel, progress);
  const parts = await machineParts(kernel);
  if (flags.updateConformance) return await writeConformance(parts, flags, progress, results);
  if (flags.test) return await testAll(parts, kernel, flags, progress, results);
  if (commands !== undefined) {
    return await runCommands(parts, commands, (stream, text) => process[stream].write(text));
  }
  if (flags.shell) return await runShell(parts);
  await tellStory(parts, story, flags, results);
  return ExitStatus.done;
}

async function requireStory(story: string): Promise<void> {
  const names = await storyNames(checkoutFolder());
  if (names.includes(story)) return;
  throw new CommandError(
    `Cannot tell the story "${story}": there are ${names.join(", ") || "none"}`,
    ExitStatus.usage,
  );
}

async function writeLayouts(kernel: Kernel, progress: LabOutput): Promise<number> {
  if (kernel.foreignHeaders) {
    throw new LabError("Cannot write layouts: the headers of this kernel are not known", {
      fix: "name the folder that `make headers_install` made, with --headers DIR",
    });
  }
  progress.line(`Wrote ${await updateLayouts(kernel.headers)}`);
  return ExitStatus.done;
}

/** Writes what the suite and random histories come to on the kernel, unless a case fails. */
async function writeConformance(
  parts: MachineParts,
  { long, seed = freshSeed() }: LabFlags,
  progress: LabOutput,
  results: LabOutput,
): Promise<number> {
  let release = "";
  const run = async (only: string) =>
    await runCases(parts, { only, rounds: 1, ...(long && { seed }) }, {
      boot: (number) => progress.line(`Booting the guest (${number})`),
      ready: ({ kernel }) => release = kernel,
      log: (text) => progress.line(progress.paint("dim", text)),
      result: (result) => caseLines(result, results).forEach((line) => results.line(line)),
    });
  const suite = await run(CONFORMANCE_PREFIX);
  const histories = await run(HISTORIES_PREFIX);
  const all = [...suite, ...histories];
  results.line(countLine(all));
  if (countStates(all).failed > 0) return ExitStatus.denied;
  progress.line(`Wrote ${await updateConformance(release, suite)}`);
  progress.line(`Wrote ${await updateHistories(release, histories)}`);
  return ExitStatus.done;
}

async function machineParts(kernel: Kernel): Promise<MachineParts> {
  return {
    kernel: kernel.image,
    qemu: requireProgram("qemu-system-x86_64"),
    busybox: requireProgram("busybox"),
    programs: await compileGuestPrograms(kernel.headers, cacheFolder()),
    denoDir: await warmDenoCache(),
  };
}

function requireProgram(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new LabError(`Cannot run the laboratory: no ${name} in PATH`);
  return path;
}

async function testAll(
  parts: MachineParts,
  kernel: Kernel,
  flags: LabFlags,
  progress: LabOutput,
  results: LabOutput,
): Promise<number> {
  const show = (result: CaseResult) => {
    if (flags.format === "json") results.line(JSON.stringify(result));
    else for (const line of caseLines(result, results)) results.line(line);
  };
  const onHost = await hostCases(kernel, flags.only);
  onHost.forEach(show);
  const inGuest = await runCases(parts, {
    only: flags.only,
    rounds: flags.repeat ?? 1,
    ...(flags.long && { seed: flags.seed ?? freshSeed() }),
  }, {
    boot: (number) => progress.line(`Booting the guest${number === 1 ? "" : ` again (${number})`}`),
    ready: ({ kernel, uptimeMs }) =>
      progress.line(`The guest is ready: Linux ${kernel}, up for ${uptimeMs / 1000} s`),
    log: (text) => progress.line(progress.paint("dim", text)),
    result: show,
  });
  const all = [...onHost, ...inGuest];
  if (all.length === 0) {
    throw new CommandError(
      `Cannot test: no case's name contains "${flags.only ?? ""}"`,
      ExitStatus.usage,
    );
  }
  const counts = countStates(all);
  results.line(flags.format === "json" ? JSON.stringify({ summary: counts }) : countLine(all));
  return counts.failed === 0 ? ExitStatus.done : ExitStatus.denied;
}

async function hostCases(kernel: Kernel, only: string | undefined): Promise<CaseResult[]> {
  if (only !== undefined && !LAYOUTS_CASE.includes(only)) return [];
  if (kernel.foreignHeaders) return [skippedLayouts("the headers of this kernel are not known")];
  return [await checkLayouts(kernel.headers)];
}

async function tellStory(
  parts: MachineParts,
  story: string,
  flags: LabFlags,
  results: LabOutput,
): Promise<void> {
  await runStory(parts, story, (line) => {
    if (flags.format === "json") results.line(JSON.stringify(line));
    else results.line(storyText(line.style, line.text, results));
  });
}

/** Another each time; who wants it again finds it in the result. */
function freshSeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) >>> 2;
}

function parseSeed(text: string): number {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw new SyntaxError(
    `Cannot begin with the seed "${text}": write a number of at most 10 digits`,
  );
}

function parseRounds(text: string): number {
  const rounds = Number(text);
  if (/^[1-9][0-9]{0,3}$/.test(text)) return rounds;
  throw new SyntaxError(`Cannot repeat the cases "${text}" times: write a number from 1 to 9999`);
}

/** The verb. */
export const command = buildCommand<LabFlags, [string?], Context>({
  func: lab,
  parameters: {
    flags: {
      test: { kind: "boolean", brief: "Run the test cases, one line each", default: false },
      shell: {
        kind: "boolean",
        brief: "Open a shell in the guest, or feed it with standard input",
        default: false,
      },
      updateLayouts: {
        kind: "boolean",
        brief: "Write what the C compiler says of the struct layouts into the checkout",
        default: false,
      },
      updateConformance: {
        kind: "boolean",
        brief:
          "Write what the conformance suite and histories come to on the kernel into the checkout",
        default: false,
      },
      long: { kind: "boolean", brief: "Run the cases that take long, too", default: false },
      seed: {
        kind: "parsed",
        parse: parseSeed,
        optional: true,
        brief: "Where random histories of the long cases begin; another each time unless given",
        placeholder: "number",
      },
      only: {
        kind: "parsed",
        parse: String,
        optional: true,
        brief: "Only cases whose name contains this",
        placeholder: "text",
      },
      repeat: {
        kind: "parsed",
        parse: parseRounds,
        optional: true,
        brief: "How often to run each case, to find one that fails now and then",
        placeholder: "times",
      },
      kernel: {
        kind: "parsed",
        parse: String,
        optional: true,
        brief: "A ready kernel image instead of building one",
        placeholder: "path",
      },
      headers: {
        kind: "parsed",
        parse: String,
        optional: true,
        brief: "User-space headers of that kernel",
        placeholder: "folder",
      },
      format: {
        kind: "enum",
        values: ["human", "json"],
        brief: "How to print results",
        default: "human",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [
        {
          brief: `The story to tell (${DEFAULT_STORY} unless given)`,
          parse: String,
          optional: true,
          placeholder: "story",
        },
      ],
    },
  },
  docs: { brief: "Try Bargate on a real kernel under QEMU: a story, the test cases, or a shell" },
});
