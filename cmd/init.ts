/**
 * `bargate init`: a first policy of what is on this host, on one that is a file, or on a simulated
 * one. It declares devices, denies what should never leave them, and allows nothing; what could be
 * allowed stands in it as commented examples. Opens no device.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { comparePciAddresses } from "../host/address.ts";
import { FilesError } from "../host/files.ts";
import { IommuGroups, isVfioDriver } from "../host/group_viability.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import { loadPolicySet } from "../policy/load.ts";
import type { Context } from "./context.ts";
import { deviceArgument } from "./device_argument.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { firstDevice } from "./init/first_device.ts";
import { firstPolicy } from "./init/first_policy.ts";
import { humanDiagnostics } from "./output/human.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { SIM_FLAG } from "./plan_flags.ts";
import { planningFacts } from "./planning_facts.ts";
import type { HostFacts, TakenFacts } from "./prepare_plan.ts";
import { readInventory } from "./read_inventory.ts";
import { refuseInput } from "./refuse_input.ts";
import { refuseExisting, writePrivate } from "./write_private.ts";

interface Flags {
  readonly inventory?: string;
  readonly sim?: string;
  readonly device?: readonly string[];
  readonly out?: string;
  readonly force: boolean;
}

/** What is written, for messages. */
const WHAT = "the policy";

async function init(this: Context, flags: Flags): Promise<void> {
  const { inventory, sim, device, out, force } = flags;
  refuseInput(out, WHAT, [inventory, sim]);
  const facts = await factsFor(this, flags);
  const taken = factsTaken(facts);
  const host = taken?.snapshot;
  const diagnostics = [...facts.diagnostics, ...taken?.diagnostics ?? []];
  if (diagnostics.length > 0) {
    this.process.stderr.write(
      humanDiagnostics(diagnostics, { textOf: () => undefined, coloured: false }),
    );
  }
  if (host === undefined) return this.exitWith(ExitStatus.hostNotReady);
  const from = inventory ?? (sim === undefined ? "this host" : `the simulated host ${sim}`);
  const text = policyFor(host, from, device);
  if (out === undefined || out === "-") return this.process.stdout.write(text);
  if (!force) refuseExisting(out, WHAT);
  writePrivate(out, WHAT, [text]);
  this.process.stderr.write(`policy written to ${visible(out)}\n`);
}

/** @throws {CommandError} usage: a file that cannot be read, or two hosts */
async function factsFor(context: Context, { inventory, sim }: Flags): Promise<HostFacts> {
  if (inventory === undefined) return await planningFacts(context, sim);
  if (sim === undefined) return await readInventory(inventory);
  throw new CommandError(
    `Cannot look at two hosts: give --inventory or --sim (received ${inventory} and ${sim})`,
    ExitStatus.usage,
  );
}

/** @throws {CommandError} host not ready: there is no PCI here */
function factsTaken(facts: HostFacts): TakenFacts | undefined {
  try {
    return facts.take(() => true);
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    const message = `Cannot write a first policy: ${error.message}`;
    throw new CommandError(message, ExitStatus.hostNotReady, { cause: error });
  }
}

/**
 * The first policy of a host.
 *
 * @param host its snapshot
 * @param from where that is from, for a comment
 * @param addresses the functions that are wanted; absent: those that are bound to a VFIO driver
 * @returns the policy's text; it is valid without a warning, and allows nothing
 * @throws {CommandError} host not ready: there is no such function
 */
export function policyFor(
  host: HostSnapshot,
  from: string,
  addresses?: readonly string[],
): string {
  const groups = new IommuGroups(host);
  const text = firstPolicy(
    { from, host },
    chosen(host, addresses).map((entry) => firstDevice(host, groups, entry)),
  );
  // Whoever gets a policy from here must be able to rely on it.
  const { set, diagnostics } = loadPolicySet([{ file: "init", text }], { pageSize: host.pageSize });
  const exports = set?.policies.flatMap((policy) => policy.exports) ?? [];
  if (set !== undefined && diagnostics.length === 0 && exports.length === 0) return text;
  throw new Error(
    `Cannot write a first policy: ${diagnostics[0]?.message ?? "it allows something"}`,
  );
}

function chosen(
  { functions }: HostSnapshot,
  addresses: readonly string[] | undefined,
): readonly SnapshotFunction[] {
  if (addresses === undefined) {
    const bound = functions.filter(({ driver }) => driver !== undefined && isVfioDriver(driver));
    if (bound.length > 0) return bound;
    throw new CommandError(
      "Cannot write a first policy: no function is bound to a VFIO driver; bind one to vfio-pci, or name functions with --device (bargate inventory lists them)",
      ExitStatus.hostNotReady,
    );
  }
  const at = new Map(functions.map((entry) => [entry.address, entry]));
  return [...new Set(addresses)].sort(comparePciAddresses).map((address) => {
    const entry = at.get(address);
    if (entry !== undefined) return entry;
    throw new CommandError(
      `Cannot write a first policy: the host has no PCI function ${address} (bargate inventory lists them)`,
      ExitStatus.hostNotReady,
    );
  });
}

/** The verb. */
export const command = buildCommand<Flags, [], Context>({
  func: init,
  parameters: {
    flags: {
      inventory: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Of the host that this file describes (bargate inventory), not of this one",
      },
      sim: SIM_FLAG,
      device: {
        kind: "parsed",
        parse: deviceArgument("write a first policy"),
        variadic: true,
        optional: true,
        placeholder: "address",
        brief: "This function (repeatable), whatever its driver (default: all on VFIO drivers)",
      },
      out: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Write to this file (- is standard output)",
      },
      force: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "Replace the file of --out where there is one",
      },
    },
    aliases: { o: "out" },
  },
  docs: {
    brief: "Write a first policy of what is on a host: it allows nothing, and has examples",
    fullDescription: [
      "Opens no device and changes nothing. The policy declares devices with their ids and",
      "addresses, and denies registers and MSI-X structures. Lines with one # are examples:",
      "take the # away and they count. docs/init.md says what is taken for what.",
    ].join("\n"),
  },
});
