/**
 * The host that a verb works on: this one, or a simulated one (`--sim`).
 *
 * @module
 */
import type { Kernel } from "../engine/kernel.ts";
import { LinuxFiles } from "../ffi/linux_files.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import type { Files } from "../host/files.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { Context } from "./context.ts";
import { loadSimulation } from "./load_simulation.ts";
import type { UnfitHost } from "./simulated_host.ts";
import { visible } from "./output/visible.ts";

/** A host that devices can be opened on. */
export interface OpenHost {
  readonly kernel: Kernel;
  readonly files: Files;
  /** What it is simulated from; absent: it is the machine that this runs on. */
  readonly snapshot?: HostSnapshot;
  /** What is wrong with that, and does no harm. */
  readonly problems?: readonly Diagnostic[];
}

/**
 * Gives the host that is asked for. A simulated one is announced on standard error before anything
 * else is.
 *
 * @param context of the verb
 * @param sim path of the snapshot to simulate; absent: this host
 * @throws {CommandError} usage: the snapshot cannot be read
 */
export async function openHost(
  context: Context,
  sim: string | undefined,
): Promise<OpenHost | UnfitHost> {
  if (sim === undefined) return openThisHost();
  const { openSimulatedHost } = await loadSimulation();
  return await openSimulatedHost(sim, (line) => context.process.stderr.write(`${visible(line)}\n`));
}

/** The machine that this runs on. */
export function openThisHost(): OpenHost {
  return { kernel: new LinuxKernel(), files: new LinuxFiles() };
}
