/**
 * The host that is planned for: this one, or a simulated one (`--sim`). Nothing is loaded by which a
 * device could be opened.
 *
 * @module
 */
import { LinuxFiles } from "../ffi/linux_files.ts";
import { kernelRelease, pageSize } from "../ffi/process.ts";
import type { Context } from "./context.ts";
import { loadSimulation } from "./load_simulation.ts";
import type { ThisHost } from "./prepare_plan.ts";
import type { UnfitHost } from "./simulated_host.ts";
import { visible } from "./output/visible.ts";

/**
 * Gives the host that is asked for. A simulated one is announced on standard error.
 *
 * @param context of the verb
 * @param sim path of the snapshot to simulate; absent: this host
 * @throws {CommandError} usage: the snapshot cannot be read
 */
export async function planningHost(
  context: Context,
  sim: string | undefined,
): Promise<ThisHost | UnfitHost> {
  if (sim === undefined) {
    return { files: new LinuxFiles(), release: kernelRelease(), pageSize: pageSize() };
  }
  const { openSimulatedHost } = await loadSimulation();
  const host = await openSimulatedHost(
    sim,
    (line) => context.process.stderr.write(`${visible(line)}\n`),
  );
  if ("unfit" in host) return host;
  const { kernel, files, snapshot, problems } = host;
  return {
    files,
    release: kernel.release,
    pageSize: kernel.pageSize,
    simulated: snapshot,
    problems,
  };
}
