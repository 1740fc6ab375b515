/**
 * `bargate explain`: why something is allowed or not, and what a code or an errno means.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { Decider } from "../policy/decide.ts";
import { decideRegion, type RegionRequest } from "../policy/decide_region.ts";
import type { PolicySet } from "../policy/model.ts";
import { nearMisses } from "../policy/near_misses.ts";
import { possibleDenies } from "../policy/request_denies.ts";
import { parseQuantity } from "../policy/quantity.ts";
import { resolveRequest } from "../policy/request.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { explainWord, type Step, STEPS, wordOf } from "./explain_word.ts";
import { loadFiles, showProblems, textsOf } from "./load_valid.ts";
import { type Explained, humanDecision, jsonDecision } from "./output/decision.ts";
import { pathArgument } from "./path_argument.ts";
import { SIM_FLAG } from "./plan_flags.ts";
import { jsonText } from "./output/json_text.ts";
import { humanRegion, jsonRegion } from "./output/region_decision.ts";

interface Flags {
  readonly importer?: string;
  readonly device?: string;
  readonly bar?: number;
  readonly offset: bigint;
  readonly length?: bigint;
  readonly region?: "nvme.cmb";
  readonly access: "read-only" | "read-write";
  readonly format: "human" | "json";
  readonly at?: Step;
  readonly inventory?: string;
  readonly sim?: string;
}

function parseBytes(text: string): bigint {
  const result = parseQuantity(text);
  if (result.ok) return result.value;
  throw new CommandError(
    `Cannot use the number of bytes: ${result.why} (received ${text}); ${result.fix}`,
    ExitStatus.usage,
  );
}

function parseBar(text: string): number {
  if (/^[0-5]$/.test(text)) return Number(text);
  throw new CommandError(
    `Cannot use the BAR: it is none of 0 to 5 (received ${text})`,
    ExitStatus.usage,
  );
}

/** A simulated host is what its file says, and here no more is asked of it. */
function hostFile({ inventory, sim }: Flags): string | undefined {
  if (inventory === undefined || sim === undefined) return inventory ?? sim;
  throw new CommandError(
    `Cannot look at two hosts: give --inventory or --sim (received ${inventory} and ${sim})`,
    ExitStatus.usage,
  );
}

async function explain(this: Context, flags: Flags, ...args: string[]): Promise<void> {
  const word = flags.importer === undefined ? wordOf(args[0] ?? "") : undefined;
  const inventory = hostFile(flags);
  if (word !== undefined && inventory !== undefined) {
    return await errnoOnHost(this, flags, word, args.slice(1), inventory);
  }
  if (inventory !== undefined) {
    throw new CommandError(
      `Cannot explain a request on a host: give an errno to run the kernel's checks on it, or plan (received ${inventory})`,
      ExitStatus.usage,
    );
  }
  if (word !== undefined) return wordMeaning(this, flags, args, word);
  if (flags.region !== undefined) return await aboutRegion(this, flags, flags.region, args);
  const { importer, device, bar, length, offset, access } = flags;
  if (
    importer === undefined || device === undefined || bar === undefined || length === undefined
  ) {
    throw new CommandError(
      "Cannot explain a request without --importer, --device, --bar and --length (or --region)",
      ExitStatus.usage,
    );
  }
  if (length === 0n) {
    throw new CommandError(
      "Cannot explain a request of no bytes (received --length 0)",
      ExitStatus.usage,
    );
  }
  const loaded = await loadFiles(this, args, { explaining: true });
  const { set, denied } = loaded.result;
  const asked = { importer, device, bar, offset, length, access };
  if (set === undefined) {
    if (denied !== undefined) tellDeny(this, flags, denied, asked, textsOf(loaded.files));
    showProblems(this, loaded, { format: flags.format });
    return this.exitWith(ExitStatus.invalidPolicy);
  }
  const resolved = resolveRequest(set, asked);
  if (!resolved.ok) {
    throw new CommandError(`Cannot ask this: ${resolved.why}`, ExitStatus.usage);
  }
  const decision = new Decider(set).decide(resolved.request);
  const misses = decision.outcome === "no-rule" ? nearMisses(set, resolved.request) : [];
  const unless = decision.outcome === "allowed" ? possibleDenies(set, resolved.request) : [];
  tell(this, flags, { decision, misses, unless }, textsOf(loaded.files));
}

/**
 * Exports and denies that contradict each other make a set invalid, and are the reason to ask. Which
 * deny it is can be said; that anything is allowed cannot. A program finds the deny in what it gets:
 * each such diagnostic has its place.
 */
function tellDeny(
  context: Context,
  { format }: Flags,
  set: PolicySet,
  asked: Parameters<typeof resolveRequest>[1],
  textOf: (file: string) => string | undefined,
): void {
  const resolved = resolveRequest(set, asked);
  if (format === "json" || !resolved.ok) return;
  const decision = new Decider(set).decide(resolved.request);
  if (decision.outcome !== "denied") return;
  const explained = { decision, misses: [], unless: [] };
  context.process.stdout.write(
    `${humanDecision(explained, textOf)}the set is not valid as it is, and allows nothing:\n`,
  );
}

/** Where it is only the host knows: what is asked is whose it may be, wherever that is. */
async function aboutRegion(
  context: Context,
  { importer, device, bar, length, offset, access, format }: Flags,
  region: "nvme.cmb",
  args: readonly string[],
): Promise<void> {
  if (importer === undefined || device === undefined) {
    throw new CommandError(
      "Cannot explain a request for a region without --importer and --device",
      ExitStatus.usage,
    );
  }
  if (length !== undefined || offset !== 0n) {
    throw new CommandError(
      "Cannot explain bytes of a region: only the host knows where it is; give --region without --offset and --length",
      ExitStatus.usage,
    );
  }
  const loaded = await loadFiles(context, args);
  const { set } = loaded.result;
  if (set === undefined) {
    showProblems(context, loaded, { format });
    return context.exitWith(ExitStatus.invalidPolicy);
  }
  const anywhere = { bar: bar ?? 0, offset: 0n, length: 1n };
  const resolved = resolveRequest(set, { importer, device, access, ...anywhere });
  if (!resolved.ok) {
    throw new CommandError(`Cannot ask this: ${resolved.why}`, ExitStatus.usage);
  }
  const { request } = resolved;
  const asked: RegionRequest = {
    policy: request.policy,
    importer: request.importer,
    device,
    region,
    access,
    ...(bar === undefined ? {} : { bar }),
  };
  const rules = decideRegion(set, asked);
  const text = format === "json"
    ? jsonRegion(rules)
    : humanRegion(asked, rules, textsOf(loaded.files));
  context.process.stdout.write(text);
  context.exitWith(rules.length > 0 ? ExitStatus.done : ExitStatus.denied);
}

function tell(
  context: Context,
  { format }: Flags,
  explained: Explained,
  textOf: (file: string) => string | undefined,
): void {
  const text = format === "json" ? jsonDecision(explained) : humanDecision(explained, textOf);
  context.process.stdout.write(text);
  const allowed = explained.decision.outcome === "allowed";
  context.exitWith(allowed ? ExitStatus.done : ExitStatus.denied);
}

/**
 * What reads and judges hosts is found when it is asked for, not beforehand: the runtime would read
 * it at every start, of `validate` too. So this question needs the right to read Bargate's own files.
 */
async function errnoOnHost(
  context: Context,
  { device, bar, offset, length, at, format }: Flags,
  errno: string,
  paths: readonly string[],
  inventory: string,
): Promise<void> {
  if (device === undefined || bar === undefined || length === undefined || paths.length === 0) {
    throw new CommandError(
      "Cannot run the checks again without --device, --bar, --length and a policy that has the device",
      ExitStatus.usage,
    );
  }
  if (at !== undefined && at !== "export") {
    throw new CommandError(
      `Cannot run the checks of ${at} again: an inventory tells enough for those of export only`,
      ExitStatus.usage,
    );
  }
  const loaded = await loadFiles(context, paths);
  const { readInventory } = await unlinked<typeof import("./read_inventory.ts")>(
    "./read_inventory.ts",
  );
  const facts = await readInventory(inventory);
  const host = facts.take(() => true)?.snapshot;
  if (loaded.result.set === undefined || host === undefined) {
    showProblems(context, loaded, { more: facts.diagnostics, format });
    const status = host === undefined ? ExitStatus.hostNotReady : ExitStatus.invalidPolicy;
    return context.exitWith(status);
  }
  const { answerErrno, humanAnswer } = await unlinked<typeof import("./explain_errno.ts")>(
    "./explain_errno.ts",
  );
  const question = { errno, device, bar, offset, length, inventory };
  const answer = answerErrno(loaded.result.set, host, question);
  const text = format === "json" ? `${jsonText(answer)}\n` : humanAnswer(answer, question);
  context.process.stdout.write(text);
}

function unlinked<T>(file: string): Promise<T> {
  return import(file);
}

function wordMeaning(
  context: Context,
  { at }: Flags,
  args: readonly string[],
  word: string,
): void {
  const text = args.length === 1 ? explainWord(word, at) : undefined;
  if (text === undefined) {
    const where = at === undefined ? "" : ` at ${at}`;
    throw new CommandError(
      `Cannot explain ${args.join(" ")}${where}: nothing is known of it`,
      ExitStatus.usage,
    );
  }
  context.process.stdout.write(text);
}

/** The verb. */
export const command = buildCommand<Flags, string[], Context>({
  func: explain,
  parameters: {
    flags: {
      importer: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Who asks: policy/importer, or the importer alone",
      },
      device: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "Which device of the importer's policy",
      },
      bar: {
        kind: "parsed",
        parse: parseBar,
        optional: true,
        placeholder: "index",
        brief: "Which BAR",
      },
      offset: {
        kind: "parsed",
        parse: parseBytes,
        default: "0",
        placeholder: "bytes",
        brief: "First byte",
      },
      length: {
        kind: "parsed",
        parse: parseBytes,
        optional: true,
        placeholder: "bytes",
        brief: "How many bytes",
      },
      region: {
        kind: "enum",
        values: ["nvme.cmb"],
        optional: true,
        brief: "The region instead of bytes: only the host knows where it is",
      },
      access: {
        kind: "enum",
        values: ["read-only", "read-write"],
        default: "read-write",
        brief: "What for",
      },
      format: {
        kind: "enum",
        values: ["human", "json"],
        default: "human",
        brief: "How to print the answer",
      },
      at: {
        kind: "enum",
        values: Object.keys(STEPS) as Step[],
        optional: true,
        brief: "At which step an errno was answered",
      },
      inventory: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Run the checks of an export again on the host that this file describes",
      },
      sim: SIM_FLAG,
    },
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, patterns, or -; or one code (BG1203) or errno (EINVAL)",
        parse: pathArgument,
        placeholder: "path|code|errno",
      },
    },
  },
  docs: { brief: "Say why a request is allowed or not, or what a code or an errno means" },
});
