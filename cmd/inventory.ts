/**
 * `bargate inventory`: what PCI functions this host has, as a table for people or as Snapshot v1, the
 * file that `plan --inventory` takes. Opens no device and changes nothing, unless it is told to ask
 * controllers (`--probe`). An ordinary user gets less,
 * and is told which right more would need.
 *
 * @module
 */
import { buildCommand, buildRouteMap } from "@stricli/core";
import { printSnapshot } from "../host/print_snapshot.ts";
import type { TakenSnapshot } from "../host/read_snapshot.ts";
import { snapshotProblems } from "../host/snapshot_problems.ts";
import type { Context } from "./context.ts";
import { deviceArgument } from "./device_argument.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { diffCommand } from "./inventory_diff.ts";
import { writePieces } from "./output/write_pieces.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { planningHost } from "./planning_host.ts";
import type { HostFacts } from "./prepare_plan.ts";
import { SIM_FLAG } from "./plan_flags.ts";
import { shortcomings, takeInventory } from "./take_inventory.ts";
import { refuseInput } from "./refuse_input.ts";
import { writePrivate } from "./write_private.ts";

interface Flags {
  readonly format?: "human" | "json";
  readonly device?: readonly string[];
  readonly out?: string;
  readonly sim?: string;
  readonly redact: boolean;
  readonly probe: boolean;
  readonly owners: boolean;
  readonly matrix: boolean;
}

async function inventory(this: Context, flags: Flags): Promise<void> {
  const { format, device, out, sim, matrix } = flags;
  refuseInput(out, "the inventory", [sim]);
  const host = await planningHost(this, sim);
  if ("unfit" in host) return await tellUnfit(this, host.unfit);
  const listed = await takeInventory(host, matrix ? undefined : device);
  const read = flags.owners ? (await loadChanges()).withOwners(listed, host) : listed;
  const found = flags.probe ? await probedBy(read, flags) : read;
  const taken = flags.redact ? (await loadChanges()).redacted(found) : found;
  const asJson = format === undefined ? out !== undefined : format === "json";
  const pieces = asJson && !matrix
    ? printSnapshot(taken.snapshot)
    : (await loadViews()).viewOf(taken.snapshot, { device, matrix, asJson });
  if (out !== undefined && out !== "-") writePrivate(out, "the inventory", pieces);
  else writePieces(this.process.stdout, pieces);
  const doubts = asJson && !matrix ? refusals(taken) : [];
  for (const line of [...shortcomings(taken), ...doubts]) {
    this.process.stderr.write(`${visible(line)}\n`);
  }
  // A controller that does not answer keeps its thread, and would keep this process.
  if (flags.probe) this.exitNow(ExitStatus.done);
}

/** The file that is to be simulated is no inventory, and it is said why. */
async function tellUnfit(context: Context, { diagnostics }: HostFacts): Promise<void> {
  const file = "./output/human.ts";
  const { humanDiagnostics }: typeof import("./output/human.ts") = await import(file);
  const { stderr } = context.process;
  const coloured = context.colours && stderr.isTerminal;
  stderr.write(humanDiagnostics(diagnostics, { textOf: () => undefined, coloured }));
  context.exitWith(ExitStatus.hostNotReady);
}

/** What few ask for is loaded only then: the run-time reads what a literal import leads to at every start. */
async function loadChanges(): Promise<typeof import("./change_inventory.ts")> {
  const file = "./change_inventory.ts";
  return await import(file);
}

async function loadViews(): Promise<typeof import("./view_inventory.ts")> {
  const file = "./view_inventory.ts";
  return await import(file);
}

/** With the kernel, by which devices are opened, only if that is asked for. */
async function probedBy(taken: TakenSnapshot, { device, sim }: Flags): Promise<TakenSnapshot> {
  if (sim !== undefined) {
    throw new CommandError(
      "Cannot probe a simulated host: what its controllers answered is in its inventory, or nobody knows it (received --probe and --sim)",
      ExitStatus.usage,
    );
  }
  const file = "./probe_controllers.ts";
  const loaded: typeof import("./probe_controllers.ts") = await import(file);
  return await loaded.probeControllers(taken, device);
}

/** What is left out can leave a hole that `plan --inventory` would not accept: better said now. */
function refusals({ snapshot }: TakenSnapshot): readonly string[] {
  return snapshotProblems(snapshot).map((message) =>
    `warning: plan --inventory will say: ${message}`
  );
}

const BRIEF = "Say what PCI functions this host has, as a table or as a file to plan against";

const takeCommand = buildCommand<Flags, [], Context>({
  func: inventory,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "json"],
        optional: true,
        brief: "A table, or Snapshot v1 (default: a table; with --out: json)",
      },
      device: {
        kind: "parsed",
        parse: deviceArgument("take the inventory"),
        variadic: true,
        optional: true,
        placeholder: "address",
        brief: "Only this function (repeatable); the file has the bridges above it too",
      },
      out: {
        kind: "parsed",
        parse: pathArgument,
        optional: true,
        placeholder: "file",
        brief: "Write to this file (- is standard output)",
      },
      sim: SIM_FLAG,
      probe: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief:
          "Open NVMe controllers on vfio-pci, which resets them, and ask for their memory buffers",
      },
      owners: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "Say which processes have devices open by VFIO (root sees those of others)",
      },
      redact: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "Replace names and serial numbers by aliases, to show the result to others",
      },
      matrix: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "Say instead which functions' BARs which functions could reach",
      },
    },
    aliases: { o: "out" },
  },
  docs: {
    brief: BRIEF,
    fullDescription: [
      "Opens no device and changes nothing, unless --probe is given. Runs as any account: an ordinary",
      "user cannot read configuration space beyond 64 bytes, and is told so.",
      "",
      "--probe opens the NVMe controllers that are bound to vfio-pci (with --device: only these) and",
      "reads where their memory buffers are. Opening a device resets it; one that another process has",
      "open is left alone.",
      "",
      "The word take can be left out. bargate inventory diff OLD NEW says what differs between two files",
      "(bargate inventory diff --help).",
      "",
      "The file is described in docs/inventory.md; bargate schema --of snapshot prints its schema.",
    ].join("\n"),
  },
});

/** The verb. Without a second word it takes the inventory. */
export const command = buildRouteMap<"take" | "diff", Context>({
  routes: { take: takeCommand, diff: diffCommand },
  defaultCommand: "take",
  docs: { brief: BRIEF },
});
