/**
 * `bargate preflight`: whether policies can be put into effect on this host, or on those whose
 * inventories are given as files. Opens no device, unless it is asked to (`--live`).
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { systemClock } from "../engine/clock.ts";
import {
  type BeforeOpening,
  leftUnopened,
  type WhyLeft,
} from "../engine/preflight/left_unopened.ts";
import { BORROWED, type NotChecked } from "../engine/preflight/not_checked.ts";
import { type Preflight, preflight, type PreflightOptions } from "../engine/preflight/preflight.ts";
import { inertEverywhere } from "../engine/preflight/inert_denies.ts";
import { controllersToAsk } from "../engine/controllers_to_ask.ts";
import type { Kernel } from "../engine/kernel.ts";
import { type Files, FilesError } from "../host/files.ts";
import { readOwnAccount, readOwnLimits } from "../host/own_process.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { HOST_CODES } from "../policy/host_codes.ts";
import type { PolicySet } from "../policy/model.ts";
import { FORMATS } from "./check_files.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { openHost, openThisHost } from "./host.ts";
import { namesOfThisHost } from "./host_names.ts";
import { inventoryPaths, refuseInventories } from "./inventory_paths.ts";
import { kernelConfigOf } from "./kernel_config_of.ts";
import { refuseUnknownImporter } from "./known_importer.ts";
import { junitCases } from "./output/junit.ts";
import {
  denyingWarnings,
  hostDiagnostics,
  type HostReport,
  mergingHosts,
  namingHosts,
  preflightCases,
  preflightJson,
  preflightJsonl,
  type PreflightReport,
  readySum,
} from "./output/preflight_report.ts";
import { preflightText } from "./output/preflight_text.ts";
import { summarize, type Verdict } from "./output/summary.ts";
import { pathArgument } from "./path_argument.ts";
import { PLAN_FLAGS, type PlanFlags } from "./plan_flags.ts";
import { planningHost } from "./planning_host.ts";
import { PoliciesByPage } from "./policies_by_page.ts";
import { type PolicyFile, readPolicyFiles } from "./policy_input.ts";
import { adviceFor, factsOf, type HostFacts } from "./prepare_plan.ts";
import { readInventory } from "./read_inventory.ts";
import { readVfTokens } from "./vf_token_file.ts";

interface Flags extends PlanFlags {
  readonly format: typeof FORMATS[number];
  readonly importer?: string;
  readonly inventory?: readonly string[];
  readonly live: boolean;
  readonly denyWarnings: boolean;
  readonly vfTokenFile?: string;
}

/** The machine that this runs on, in reports. */
const THIS_HOST = "this host";

async function preflightHosts(this: Context, flags: Flags, ...paths: string[]): Promise<void> {
  refuseTwoHosts(flags);
  const sources = sourcesOf(flags);
  const files = await readPolicyFiles(paths, this.readStdin);
  if (flags.inventory !== undefined) refuseInventories(files);
  const policies = new PoliciesByPage(files);
  const { loaded } = policies;
  const hosts: HostReport[] = [];
  if (loaded.set !== undefined) {
    refuseUnknownImporter(loaded.set, flags.importer);
    for (const source of sources) {
      hosts.push(await reportOn(this, flags, policies, source));
    }
  }
  const ofAll = inertEverywhere(hosts.map(({ inertDenies }) => inertDenies));
  const diagnostics = [...loaded.diagnostics, ...ofAll];
  const all = [...diagnostics, ...hosts.flatMap(({ diagnostics }) => diagnostics)];
  const found: PreflightReport = {
    policy: loaded.set?.digest,
    diagnostics,
    hosts,
    summary: summarize(all, loaded),
  };
  const report = flags.denyWarnings ? denyingWarnings(found) : found;
  this.process.stdout.write(await written(this, flags, report, files));
  // A device that does not answer keeps its thread, and would keep this process.
  if (flags.live) return this.exitNow(statusOf(report));
  this.exitWith(statusOf(report));
}

/** @throws {CommandError} usage: a file has no devices, and a simulated host is no file */
function refuseTwoHosts({ inventory, sim, live, vfTokenFile }: Flags): void {
  if (inventory !== undefined && sim !== undefined) {
    throw new CommandError(
      `Cannot look at these hosts: give --inventory or --sim (received ${inventory[0]} and ${sim})`,
      ExitStatus.usage,
    );
  }
  if (inventory !== undefined && live) {
    throw new CommandError(
      "Cannot open devices of an inventory: --live is for this host",
      ExitStatus.usage,
    );
  }
  if (vfTokenFile !== undefined && !live) {
    throw new CommandError("Cannot use --vf-token-file: it goes with --live", ExitStatus.usage);
  }
}

/** A host that is to be looked at. */
interface Source {
  readonly name: string;
  readonly file?: string;
}

function sourcesOf({ inventory, sim }: Flags): readonly Source[] {
  if (inventory !== undefined) {
    return inventoryPaths(inventory).map((file) => ({ name: file, file }));
  }
  return [{ name: sim ?? THIS_HOST }];
}

async function reportOn(
  context: Context,
  flags: Flags,
  policies: PoliciesByPage,
  { name, file }: Source,
): Promise<HostReport> {
  const host = await readHost(context, flags, file);
  if ("message" in host) return factless(name, [unreadable(host, name)], true);
  const { facts, process } = host;
  const taken = facts.take(() => true);
  if (taken === undefined) return factless(name, facts.diagnostics);
  const { snapshot } = taken;
  const ofFacts = [...facts.diagnostics, ...taken.diagnostics];
  const { set, diagnostics: ofPages } = policies.on(snapshot.pageSize);
  if (set === undefined) return unfitFor(name, snapshot, [...ofFacts, ...ofPages]);
  const options = { ...optionsOf(flags), ...process };
  const first = preflight(set, snapshot, options);
  const asked = await askedLive(context, flags, { set, host: snapshot, options, first });
  const found = asked.host === snapshot ? first : preflight(set, asked.host, options);
  ofFacts.push(...asked.diagnostics);
  const before = {
    set,
    host: asked.host,
    grants: found.grants,
    diagnostics: [...ofFacts, ...ofPages, ...found.diagnostics],
  };
  const live = await lookedAtLive(context, flags, before);
  const diagnostics = [
    ...ofFacts,
    ...ofPages,
    ...adviceFor(facts, found.diagnostics),
    ...live.diagnostics,
  ];
  return {
    host: name,
    release: found.host.release,
    ready: !diagnostics.some(({ severity }) => severity === "error"),
    denied: found.denied,
    diagnostics,
    grants: found.grants,
    inertDenies: found.inertDenies,
    notChecked: [...found.notChecked, ...live.notChecked],
  };
}

/** A host of which nothing is known. */
function factless(
  host: string,
  diagnostics: HostReport["diagnostics"],
  isUnread = false,
): HostReport {
  const nothing = { ready: false, denied: false, grants: [], notChecked: [] };
  return { host, diagnostics, ...nothing, ...(isUnread ? { isUnread } : {}) };
}

/** One file that cannot be read says nothing of the other hosts. */
function unreadable({ message }: CommandError, file: string): Diagnostic {
  const code = "BG2122";
  const { severity, fix } = HOST_CODES[code];
  const help = `docs/diagnostics.md#${code}`;
  return { code, severity, message, file, line: 1, column: 1, endLine: 1, endColumn: 1, fix, help };
}

/** @returns the host, or why the file cannot be read that it is */
async function readHost(
  context: Context,
  flags: Flags,
  file: string | undefined,
): Promise<Host | CommandError> {
  try {
    return await hostOf(context, flags, file);
  } catch (error) {
    if ((file ?? flags.sim) !== undefined && error instanceof CommandError) return error;
    throw error;
  }
}

/** A host on which the policies are wrong, however its devices are: `plan` goes no further either. */
function unfitFor(
  host: string,
  { kernel: { release }, pageSize }: HostSnapshot,
  diagnostics: HostReport["diagnostics"],
): HostReport {
  const notChecked = [{
    what: "devices, importers and the kernel",
    why: `the policy is wrong for pages of ${pageSize} bytes`,
  }];
  return { host, release, ready: false, denied: false, diagnostics, grants: [], notChecked };
}

/** Of this process and its host, and where the other facts are from. */
type OfProcess = Pick<PreflightOptions, "account" | "limits" | "unread" | "names" | "source">;

/** Its facts, and this process's. */
interface Host {
  readonly facts: HostFacts;
  readonly process: OfProcess;
}

async function hostOf(
  context: Context,
  { sim }: Flags,
  file: string | undefined,
): Promise<Host> {
  if (file !== undefined) {
    return { facts: await readInventory(file), process: { source: "inventory" } };
  }
  const bare = await planningHost(context, sim);
  if ("unfit" in bare) return { facts: bare.unfit, process: { source: "simulated" } };
  const { config } = await kernelConfigOf(bare);
  const host = { ...bare, ...(config === undefined ? {} : { config }) };
  const process = sim === undefined ? ofThisHost(host.files) : { source: "simulated" as const };
  return { facts: factsOf(host, sim), process };
}

/** What cannot be read is told as not checked. */
function ofThisHost(files: Files): OfProcess {
  const account = readIfAllowed(() => readOwnAccount(files));
  const limits = readIfAllowed(() => readOwnLimits(files));
  return {
    source: "this-host",
    names: namesOfThisHost(files),
    ...(account.value === undefined ? {} : { account: account.value }),
    ...(limits.value === undefined ? {} : { limits: limits.value }),
    unread: {
      ...(account.why === undefined ? {} : { account: account.why }),
      ...(limits.why === undefined ? {} : { limits: limits.why }),
    },
  };
}

function readIfAllowed<T>(read: () => T): { readonly value?: T; readonly why?: string } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof FilesError) return { why: error.message };
    throw error;
  }
}

function optionsOf({ importer, route, acceptUnwaitedRevoke, live }: Flags): PreflightOptions {
  return {
    live,
    ...(importer === undefined ? {} : { importer }),
    ...(route === undefined ? {} : { route }),
    acceptUnwaitedRevoke,
  };
}

/** What a preflight has come to before controllers are asked. */
interface BeforeAsking {
  readonly set: PolicySet;
  readonly host: HostSnapshot;
  readonly options: PreflightOptions;
  readonly first: Preflight;
}

/** Where nothing could be exported anyway, no device is opened. */
async function askedLive(
  context: Context,
  { live, sim, vfTokenFile }: Flags,
  { set, host, options, first }: BeforeAsking,
): Promise<{ host: HostSnapshot; diagnostics: HostReport["diagnostics"] }> {
  const asks = live && sim === undefined && first.ready;
  const controllers = asks ? controllersToAsk(set, host, options) : [];
  if (controllers.length === 0) return { host, diagnostics: [] };
  const { askingBy } = await import("./ask_controllers.ts");
  const { kernel } = openThisHost();
  kernel.makeNonDumpable();
  const vfTokenFor = vfTokenFile === undefined
    ? undefined
    : await readVfTokens(vfTokenFile, kernel.uid);
  const ask = askingBy(context, kernel, vfTokenFor === undefined ? {} : { vfTokenFor });
  const { functions: answered, diagnostics } = await ask(controllers);
  const functions = host.functions.map((entry) => answered.get(entry.address) ?? entry);
  return { host: { ...host, functions }, diagnostics };
}

async function lookedAtLive(
  context: Context,
  { live, sim, vfTokenFile }: Flags,
  before: BeforeOpening,
): Promise<{ diagnostics: HostReport["diagnostics"]; notChecked: readonly NotChecked[] }> {
  if (!live || before.grants.length === 0) return { diagnostics: [], notChecked: [] };
  const { probeLive } = await import("../engine/preflight/live.ts");
  const kernel = await kernelOf(context, sim);
  kernel.makeNonDumpable();
  const vfTokenFor = vfTokenFile === undefined
    ? undefined
    : await readVfTokens(vfTokenFile, kernel.uid);
  const { findings, left } = await probeLive(
    { kernel, clock: systemClock, ...(vfTokenFor === undefined ? {} : { vfTokenFor }) },
    before.grants,
    leftUnopened(before),
  );
  const borrowed = new Set(
    before.grants.filter(({ device }) => device.owner !== undefined)
      .map(({ device }) => device.address),
  );
  return {
    diagnostics: findings.map(({ diagnostic }) => diagnostic),
    // Borrowed devices of grants have been told of.
    notChecked: [...left].filter(([address]) => !borrowed.has(address)).map(([address, why]) => ({
      what: `whether ${address} can export`,
      why: WHY_LEFT[why],
    })),
  };
}

/** @throws {CommandError} host not ready: the file is not what it was a moment ago */
async function kernelOf(context: Context, sim: string | undefined): Promise<Kernel> {
  const host = await openHost(context, sim);
  if ("kernel" in host) return host.kernel;
  const why = host.unfit.diagnostics[0]?.message ?? "it is no inventory";
  throw new CommandError(
    `Cannot open devices of the host of ${sim}, which has changed meanwhile: ${why}`,
    ExitStatus.hostNotReady,
  );
}

const WHY_LEFT: Readonly<Record<WhyLeft, string>> = {
  borrowed: BORROWED,
  faulty: "it is not opened, for nothing could be exported from it anyway",
};

async function written(
  context: Context,
  { format, denyWarnings }: Flags,
  report: PreflightReport,
  files: readonly PolicyFile[],
): Promise<string> {
  switch (format) {
    case "json":
      return preflightJson(report);
    case "jsonl":
      return preflightJsonl(report);
    case "junit":
      return junitCases("bargate preflight", preflightCases(report, denyWarnings));
    case "sarif": {
      const { sarifDiagnostics } = await import("./output/sarif.ts");
      return sarifDiagnostics(namingHosts(hostDiagnostics(report)), verdictOf(report));
    }
    case "github": {
      const { githubDiagnostics } = await import("./output/github.ts");
      const verdict = verdictOf(report);
      return githubDiagnostics(mergingHosts(hostDiagnostics(report)), verdict, readySum(report));
    }
    case "human": {
      const texts = new Map(files.map(({ file, bytes }) => [file, bytes]));
      return preflightText(report, {
        textOf: (file) => new TextDecoder().decode(texts.get(file)),
        coloured: context.colours && context.process.stdout.isTerminal,
      });
    }
  }
}

/** The worst of what is true of any host. */
function statusOf({ policy, refused, hosts }: PreflightReport): ExitStatus {
  if (policy === undefined) return ExitStatus.invalidPolicy;
  if (hosts.some(({ isUnread }) => isUnread)) return ExitStatus.usage;
  if (hosts.some(({ denied }) => denied)) return ExitStatus.denied;
  const isReady = refused === undefined && hosts.every(({ ready }) => ready);
  return isReady ? ExitStatus.done : ExitStatus.hostNotReady;
}

/** For formats that say it beside the findings. */
function verdictOf({ policy, refused }: PreflightReport): Verdict {
  return {
    ...(policy === undefined ? {} : { policy }),
    ...(refused === undefined ? {} : { refused }),
  };
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: preflightHosts,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: FORMATS,
        default: "human",
        brief: "How to print the result",
      },
      importer: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Only what this importer would get",
      },
      inventory: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        variadic: true,
        placeholder: "file",
        brief:
          "Look at the hosts of this file (bargate inventory), folder or quoted pattern; can be given again",
      },
      live: {
        kind: "boolean",
        default: false,
        brief: "Open the devices and ask whether they can export; the open tries a reset of each",
      },
      denyWarnings: { kind: "boolean", default: false, brief: "Take warnings for errors" },
      vfTokenFile: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "With --live: tokens of virtual functions, as export takes them",
      },
      ...PLAN_FLAGS,
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, or - for standard input",
        parse: pathArgument,
        placeholder: "path",
      },
    },
  },
  docs: {
    brief: "Say whether policies can be put into effect on this host, or on hosts that are files",
  },
});
