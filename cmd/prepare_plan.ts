/**
 * From the policy files on a command line and a host to a plan: what `plan` shows and `export` does.
 *
 * @module
 */
import {
  controllersToAsk,
  onlyAnswersLack,
  withoutUnanswered,
} from "../engine/controllers_to_ask.ts";
import { makePlan, type Plan, type PlanOptions } from "../engine/plan.ts";
import type { Files } from "../host/files.ts";
import { leftOutDiagnostics, leftOutOfInventory } from "../engine/left_out_findings.ts";
import { readSnapshot } from "../host/read_snapshot.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { loadPolicySet, type LoadResult } from "../policy/load.ts";
import { IMPORTER_DRIVERS } from "../policy/importer_drivers.ts";
import type { Policy, PolicySet } from "../policy/model.ts";
import type { AskControllers } from "./ask_controllers.ts";
import type { Context } from "./context.ts";
import { ExitStatus } from "./exit_status.ts";
import { refuseUnknownImporter } from "./known_importer.ts";
import { humanDiagnostics } from "./output/human.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";

/** What this host says of itself. */
export interface ThisHost {
  readonly files: Files;
  readonly release: string;
  /** Bytes. */
  readonly pageSize: number;
  /** What it is simulated from; absent: it is the machine that this runs on. */
  readonly simulated?: HostSnapshot;
  /** What is wrong with that. */
  readonly problems?: readonly Diagnostic[];
}

/** A snapshot, and what it was taken without. */
export interface TakenFacts {
  readonly snapshot: HostSnapshot;
  /** Warnings: functions and fields that could not be read. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Where a plan has its facts from. */
export interface HostFacts {
  /** The file that describes the host; absent if it is the machine that this runs on. */
  readonly file?: string;
  /** Bytes; absent if it is not known. */
  readonly pageSize?: number;
  /** What is wrong with the facts themselves. */
  readonly diagnostics: readonly Diagnostic[];
  /**
   * @param wanted the functions that matter
   * @returns at least these and what is above them; undefined if there are no facts
   */
  take(wanted: (address: string) => boolean): TakenFacts | undefined;
  /** Asks controllers on the host itself; absent: nobody may, or can. */
  readonly ask?: AskControllers;
}

/**
 * Facts of the machine that this runs on, or of a simulated one.
 *
 * @param host the host
 * @param file what it is simulated from
 * @param ask how its controllers are asked; absent: they are not
 */
export function factsOf(host: ThisHost, file?: string, ask?: AskControllers): HostFacts {
  return {
    ...(ask === undefined ? {} : { ask }),
    ...(file === undefined ? {} : { file }),
    pageSize: host.pageSize,
    diagnostics: host.problems ?? [],
    take(wanted) {
      // What can be read of a simulation is less than its file says, and more.
      if (host.simulated !== undefined) return factsIn(host.simulated);
      const taken = readSnapshot(host.files, host, wanted);
      return { snapshot: taken.snapshot, diagnostics: leftOutDiagnostics(taken) };
    },
  };
}

/**
 * The facts of a host that is a file, also where the file is simulated: so both are judged alike.
 *
 * @param snapshot the file's
 */
export function factsIn(snapshot: HostSnapshot): TakenFacts {
  return { snapshot, diagnostics: leftOutOfInventory(snapshot) };
}

/** Policy files, checked, and the plan if they are valid. */
export interface Prepared {
  readonly files: readonly PolicyFile[];
  readonly loaded: LoadResult;
  /** Absent if the policy is invalid, or there are no facts. */
  readonly plan?: Plan;
  /** Of the policy, of the facts, and of the plan. */
  readonly diagnostics: readonly Diagnostic[];
  /** What the verb exits with if it goes no further; `done`: there is something to do. */
  readonly status: ExitStatus;
}

/**
 * Checks policy files and plans them on a host.
 *
 * @param context of the verb
 * @param facts of the host
 * @param paths of policy files
 * @param options what to plan for
 * @throws {CommandError} usage: a path cannot be read, or there is no such importer
 */
export async function preparePlan(
  context: Context,
  facts: HostFacts,
  paths: readonly string[],
  options: PlanOptions,
): Promise<Prepared> {
  const files = await readPolicyFiles(paths, context.readStdin);
  const { pageSize } = facts;
  const loaded = loadPolicySet(files, pageSize === undefined ? {} : { pageSize });
  const diagnostics = [...loaded.diagnostics, ...facts.diagnostics];
  if (loaded.set === undefined) {
    return { files, loaded, diagnostics, status: ExitStatus.invalidPolicy };
  }
  refuseUnknownImporter(loaded.set, options.importer);
  const taken = facts.take(wantedFunctions(loaded.set));
  if (taken === undefined) {
    return { files, loaded, diagnostics, status: ExitStatus.hostNotReady };
  }
  const made = await plannedOn(facts, taken.snapshot, loaded.set, options);
  const plan = forHostOf(facts, made.plan);
  return {
    files,
    loaded,
    plan,
    diagnostics: [
      ...diagnostics,
      ...taken.diagnostics,
      ...made.diagnostics,
      ...plan.diagnostics,
    ],
    status: statusOf(plan),
  };
}

/** Controllers are asked only if the plan is not lost without that: opening them resets them. */
async function plannedOn(
  { ask }: HostFacts,
  host: HostSnapshot,
  set: PolicySet,
  options: PlanOptions,
): Promise<{ readonly plan: Plan; readonly diagnostics: readonly Diagnostic[] }> {
  const plan = makePlan(set, host, options);
  const controllers = ask === undefined ? [] : controllersToAsk(set, host, options);
  if (ask === undefined || controllers.length === 0 || !onlyAnswersLack(plan.diagnostics)) {
    return { plan, diagnostics: [] };
  }
  const answers = await ask(controllers, set);
  if (answers === "refused") {
    return { plan: { ...plan, diagnostics: withoutUnanswered(plan.diagnostics) }, diagnostics: [] };
  }
  const { functions: answered, diagnostics } = answers;
  const functions = host.functions.map((entry) => answered.get(entry.address) ?? entry);
  return { plan: makePlan(set, { ...host, functions }, options), diagnostics };
}

/**
 * Writes diagnostics for people.
 *
 * @param context of the verb
 * @param prepared with the texts of the files, for code frames
 * @param diagnostics to write
 */
export function showDiagnostics(
  context: Context,
  prepared: Prepared,
  diagnostics: readonly Diagnostic[],
): void {
  if (diagnostics.length === 0) return;
  const texts = new Map(prepared.files.map(({ file, bytes }) => [file, bytes]));
  const { stderr } = context.process;
  stderr.write(humanDiagnostics(diagnostics, {
    textOf: (file) => new TextDecoder().decode(texts.get(file)),
    coloured: context.colours && stderr.isTerminal,
  }));
}

/** What to do where the usual advice would look at the machine that this runs on. */
const FIXES_BY_FILE: Readonly<Record<string, (file: string) => string>> = {
  BG2001: (file) =>
    `compare the match with the functions in ${file} (\`bargate inventory --sim FILE\` lists them); an address alone is no identity`,
  BG2031: (file) =>
    `look in ${file} where the device is now (\`bargate inventory --sim FILE\` lists it), and correct the policy; never its id alone, to fit what is there`,
  BG2005: (file) =>
    `name a BAR that the device has in ${file} (\`bargate inventory --sim FILE\` lists them)`,
};

function forHostOf(facts: HostFacts, plan: Plan): Plan {
  return { ...plan, diagnostics: adviceFor(facts, plan.diagnostics) };
}

/**
 * Advice that fits where the facts are from.
 *
 * @param facts of the host
 * @param diagnostics about it
 */
export function adviceFor(
  { file }: HostFacts,
  diagnostics: readonly Diagnostic[],
): readonly Diagnostic[] {
  if (file === undefined) return diagnostics;
  return diagnostics.map((diagnostic) => {
    const fix = FIXES_BY_FILE[diagnostic.code]?.(file);
    return fix === undefined ? diagnostic : { ...diagnostic, fix };
  });
}

/** Any function may be the one that does an importer's DMA. */
function meansAnyFunction({ importers }: Policy): boolean {
  return [...importers.values()].some(({ driver, device }) =>
    device !== undefined || (IMPORTER_DRIVERS.get(driver.value)?.needsP2pdmaTopology ?? false)
  );
}

function statusOf(plan: Plan): ExitStatus {
  if (!plan.diagnostics.some(({ severity }) => severity === "error")) return ExitStatus.done;
  return plan.denied ? ExitStatus.denied : ExitStatus.hostNotReady;
}

/**
 * Only functions that a policy can mean are read: one of 4,000 where addresses are given. All are
 * where an importer's function matters, because it is declared, and to be exactly one of the host, or
 * because the kernel will ask for the path to it.
 */
function wantedFunctions(set: PolicySet): (address: string) => boolean {
  if (set.policies.some(meansAnyFunction)) return () => true;
  const addresses = new Set<string>();
  for (const policy of set.policies) {
    for (const { match } of policy.devices.values()) {
      if (match.address === undefined) return () => true;
      for (const address of match.address) addresses.add(address);
    }
  }
  return (address) => addresses.has(address);
}
