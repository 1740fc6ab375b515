/**
 * The facts of the host that is planned for: this one, or a simulated one (`--sim`).
 *
 * @module
 */
import type { Context } from "./context.ts";
import { planningHost } from "./planning_host.ts";
import { factsOf, type HostFacts } from "./prepare_plan.ts";

/**
 * Gives the facts. Those of a file from which no host can be simulated are what is wrong with it.
 *
 * @param context of the verb
 * @param sim path of the snapshot to simulate; absent: this host
 * @throws {CommandError} usage: the snapshot cannot be read
 */
export async function planningFacts(
  context: Context,
  sim: string | undefined,
): Promise<HostFacts> {
  const host = await planningHost(context, sim);
  return "unfit" in host ? host.unfit : factsOf(host, sim);
}
