/** What happens to devices and importers in a round, done by whoever would do it. @module */
import { HostNotReadyError, RefusedError } from "../../engine/errors.ts";
import type { CaseContext } from "../guest/case.ts";
import { Random } from "./random.ts";
import { isRefused, memoryBit, powerState, repair, writeAt } from "./hardware.ts";
import type { Deed } from "./oracle.ts";
import type { Lived, Party } from "./party.ts";
import type { Holding, Player } from "./player.ts";
import type { Cause, CauseKind } from "./scenario.ts";

const PCI = "/sys/bus/pci";
/** Uevents in a storm. */
const STORM = 30;

/** What acts act upon. */
export interface Stage {
  readonly context: CaseContext;
  readonly parties: readonly Party[];
}

interface Scene extends Stage {
  readonly cause: Cause;
  readonly random: Random;
  /** PCI address. */
  readonly address: string;
  /** Folder of the function in sysfs. */
  readonly folder: string;
  readonly party: Party;
  readonly lived: Lived;
  readonly player: Player;
}

/** @returns what came of it; `done` if it took effect */
type Act = (scene: Scene) => Promise<string>;

/** Lets a cause happen. It is over when whoever did it goes on. */
export async function act(stage: Stage, cause: Cause, deed: Deed): Promise<void> {
  const scene = sceneOf(stage, cause);
  if (scene === undefined) deed.outcome = "nobody is there";
  else {
    try {
      deed.outcome = await ACTS[cause.kind](scene);
    } catch (error) {
      if (!isAnswer(error)) throw error;
      deed.outcome = error.message;
    }
  }
  deed.doneAt = performance.now();
  deed.done = deed.outcome === "done";
}

/** The kernel or the guardian refuses: an answer like any other. */
function isAnswer(error: unknown): error is Error {
  return error instanceof RefusedError || error instanceof HostNotReadyError || isRefused(error);
}

function sceneOf(stage: Stage, cause: Cause): Scene | undefined {
  const party = stage.parties.find(({ spec }) => spec.name === cause.party);
  const lived = party?.current;
  if (party === undefined || lived === undefined) return undefined;
  const { address } = stage.context.devices[cause.device];
  const random = new Random(cause.choice);
  const folder = `${PCI}/devices/${address}`;
  const { player } = lived;
  return { ...stage, cause, random, address, folder, party, lived, player };
}

async function write(path: string, text: string): Promise<string> {
  await writeAt(path, 0, new TextEncoder().encode(text));
  return "done";
}

async function bridgeOf(folder: string): Promise<string> {
  const real = await Deno.realPath(folder);
  return real.slice(0, real.lastIndexOf("/"));
}

async function operator({ lived, address }: Scene, method: "function" | "decode") {
  const outcome = await lived.life.guardian?.reset(address, method, "causes");
  return outcome === undefined ? "not open" : "done";
}

function ofHolding(
  choose: (holding: Holding) => boolean,
  work: (player: Player, holding: Holding) => Promise<unknown>,
): Act {
  return async ({ player, random }) => {
    const holding = random.maybePick(player.holdings.filter(choose));
    if (holding === undefined) return "it has none";
    await work(player, holding);
    return "done";
  };
}

function tells(type: "release" | "ack"): Act {
  return ofHolding(({ revoked }) => !revoked, (player, { grant }) => player.tell({ type, grant }));
}

const named = ({ names }: Holding) => names.length > 0;
const mapped = ({ iovas }: Holding) => iovas.length > 0;

const JUNK: readonly [Record<string, unknown>, ...Record<string, unknown>[]] = [
  { type: "release", grant: "none" },
  { type: "request", export: "causes/none", ioas: 1 },
  { type: "hello", v: 7 },
  { kind: "nothing" },
];

const ACTS: Readonly<Record<CauseKind, Act>> = {
  "sysfs-reset": ({ folder }) => write(`${folder}/reset`, "1"),
  "bus-reset": async ({ folder }) =>
    await write(`${await bridgeOf(folder)}/reset_subordinate`, "1"),
  "memory-off": async ({ folder, random }) => {
    await memoryBit(folder, false);
    await pause(random.below(100));
    await memoryBit(folder, true);
    return "done";
  },
  "config-same": async ({ folder }) => {
    const line = (await Deno.readFile(`${folder}/config`)).slice(0x3c, 0x3d);
    await writeAt(`${folder}/config`, 0x3c, line);
    return "done";
  },
  "power-state": async ({ folder, random }) => {
    if (!await powerState(folder, 3)) return "it has no power management";
    await pause(random.below(30));
    await powerState(folder, 0);
    return "done";
  },
  "power-control": async ({ folder }) => {
    await write(`${folder}/power/control`, "auto");
    return await write(`${folder}/power/control`, "on");
  },
  "operator-function": (scene) => operator(scene, "function"),
  "operator-decode": (scene) => operator(scene, "decode"),
  release: tells("release"),
  ack: tells("ack"),
  close: ofHolding(named, (player, holding) => player.close(holding)),
  dup: ofHolding(named, (player, holding) => player.duplicate(holding)),
  copy: ofHolding(mapped, (player, holding) => player.copy(holding)),
  unmap: ofHolding(mapped, (player, holding) => player.unmap(holding)),
  map: ofHolding(named, (player, holding) => player.map(holding)),
  request: async ({ party, player, random }) => {
    const of = random.maybePick(party.spec.exports);
    if (of !== undefined) await player.request(of.name);
    return "done";
  },
  list: async ({ player }) => {
    await player.tell({ type: "list" });
    return "done";
  },
  junk: async ({ player, random }) => {
    await player.tell(random.pick(JUNK));
    return "done";
  },
  "stop-importer": async ({ player, random }) => {
    player.signal("SIGSTOP");
    await pause(random.below(300));
    player.signal("SIGCONT");
    return "done";
  },
  kill: ({ player }) => {
    player.signal("SIGKILL");
    return Promise.resolve("done");
  },
  exit: async ({ player }) => {
    await player.exit();
    return "done";
  },
  "hang-up": async ({ player }) => {
    await player.hangUp();
    return "done";
  },
  unbind: async ({ address, folder, random, context, cause }) => {
    const written = await tried(write(`${folder}/driver/unbind`, address));
    await pause(random.below(50));
    await repair(context.devices[cause.device]);
    return written;
  },
  remove: async ({ folder, random, context, cause }) => {
    const written = await tried(write(`${folder}/remove`, "1"));
    await pause(random.below(50));
    await repair(context.devices[cause.device]);
    return written;
  },
  "driver-override": ({ folder }) => write(`${folder}/driver_override`, "vfio-pci"),
  uevents: ({ folder }) => {
    using file = Deno.openSync(`${folder}/uevent`, { write: true });
    const change = new TextEncoder().encode("change");
    for (let sent = 0; sent < STORM; sent++) {
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(change);
    }
    return Promise.resolve("done");
  },
  "other-open": async ({ context, address, random }) => {
    using _node = await Deno.open(await context.vfioNode(address), { read: true, write: true });
    await pause(random.below(150));
    return "done";
  },
  shutdown: async ({ lived }) => {
    lived.player.expectToGo();
    if (lived.life.guardian === undefined) return "it has not begun";
    await lived.life.guardian.shutdown("SIGTERM");
    return "done";
  },
};

async function tried(work: Promise<string>): Promise<string> {
  try {
    return await work;
  } catch (error) {
    if (!isRefused(error)) throw error;
    return error.message;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
