/**
 * A simulated host for the verbs: its devices are simulated from a snapshot; processes, sockets and
 * programs are this machine's.
 *
 * @module
 */
import type { Account } from "../engine/kernel.ts";
import { findAccount, findGroupId } from "../ffi/account.ts";
import { LinuxFiles } from "../ffi/linux_files.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import { LinuxMemoryFiles } from "../ffi/memory_files.ts";
import type { Files } from "../host/files.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import { HostedKernel } from "../sim/hosted_kernel.ts";
import { SnapshotFiles } from "../sim/snapshot_files.ts";
import { functionsOf } from "../sim/snapshot_functions.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { HostFacts } from "./prepare_plan.ts";
import { readInventory } from "./read_inventory.ts";

const ROOT = 0;

/**
 * Who the accounts of a policy are. `real`: root becomes those that exist here, and plays the others, as
 * anybody else plays all. `own`: whoever runs this plays them all.
 */
export type Players = "real" | "own";

/** A host whose devices are simulated. */
export interface SimulatedHost {
  readonly kernel: HostedKernel;
  readonly files: Files;
  readonly snapshot: HostSnapshot;
  /** What is wrong with it, and does no harm. */
  readonly problems: readonly Diagnostic[];
}

/** A file that no host can be simulated from. */
export interface UnfitHost {
  /** What is wrong with it, as of a host that is looked at as a file (`--inventory`). */
  readonly unfit: HostFacts;
}

/**
 * Makes a simulated host, and says so.
 *
 * @param path of a snapshot (`bargate inventory`)
 * @param tell takes lines for people
 * @param players who the accounts are
 * @throws {CommandError} usage: the file cannot be read
 */
export async function openSimulatedHost(
  path: string,
  tell: (line: string) => void,
  players: Players = "real",
): Promise<SimulatedHost | UnfitHost> {
  const facts = await readInventory(path);
  const snapshot = facts.take(() => true)?.snapshot;
  if (snapshot === undefined) return { unfit: facts };
  const host = simulatedHost(snapshot, tell, players);
  const count = functionsOf(snapshot).length;
  // A build's own name is not for logs: who redacts what is printed would find it there.
  const release = /^[0-9.]*[0-9]/.exec(snapshot.kernel.release)?.[0] ?? "of an unknown release";
  const devices = `${count} ${count === 1 ? "device" : "devices"} on vfio-pci`;
  tell(
    `simulated: Linux ${release} with ${devices}, from ${path}; no device of this machine is touched`,
  );
  return { ...host, problems: facts.diagnostics };
}

/**
 * Makes a simulated host of a snapshot.
 *
 * @param snapshot of a host
 * @param tell takes lines for people
 * @param players who the accounts are
 */
export function simulatedHost(
  snapshot: HostSnapshot,
  tell: (line: string) => void,
  players: Players = "real",
): SimulatedHost {
  const files = new SnapshotFiles(snapshot, new LinuxFiles());
  const kernel = new HostedKernel({
    real: new LinuxKernel(),
    memory: new LinuxMemoryFiles(),
    files,
    functions: functionsOf(snapshot),
    release: snapshot.kernel.release,
    pageSize: snapshot.pageSize,
    hasIommufd: hasIommufd(snapshot),
    ...accounts(tell, players),
  });
  return { kernel, files, snapshot, problems: [] };
}

/** There are no character devices without it; it is there without them too. */
function hasIommufd({ kernel, functions }: HostSnapshot): boolean {
  const option = kernel.config?.["CONFIG_IOMMUFD"] ?? "n";
  return option !== "n" || functions.some(({ cdev }) => cdev !== undefined);
}

function accounts(tell: (line: string) => void, players: Players): {
  readonly account: (user: string) => Account | undefined;
  readonly groupId: (group: string) => number | undefined;
} {
  const played = new Set<string>();
  const becomes = players === "real" && Deno.uid() === ROOT;
  return {
    account(user) {
      const own = ownAccount();
      const real = findAccount(user);
      if (real?.uid === own.uid || (real !== undefined && becomes)) return real;
      if (!played.has(user)) {
        tell(`simulated: account ${user} is played by ${own.name} (uid ${own.uid})`);
      }
      played.add(user);
      return own;
    },
    groupId(group) {
      const real = findGroupId(group);
      return becomes && real !== undefined ? real : Deno.gid() ?? undefined;
    },
  };
}

/** An account that the system has no name for is one all the same. */
function ownAccount(): Account {
  const [uid, gid] = [Deno.uid() ?? ROOT, Deno.gid() ?? ROOT];
  const known = findAccount(String(uid));
  const home = Deno.env.get("HOME");
  return {
    name: `uid ${uid}`,
    ...known,
    uid,
    gid,
    ...(home === undefined ? {} : { home }),
  };
}
