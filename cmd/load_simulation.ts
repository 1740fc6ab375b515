/**
 * Loads what simulates a host, when it is asked for.
 *
 * @module
 */

/** The run-time reads what a literal import leads to at every start, also where it is not reached. */
export async function loadSimulation(): Promise<typeof import("./simulated_host.ts")> {
  const file = "./simulated_host.ts";
  return await import(file);
}
