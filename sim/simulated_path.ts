/**
 * Which paths are the simulated host's, and which the real one's.
 *
 * @module
 */

/** Kernel interfaces: here is what devices are reached by. */
const SIMULATED: ReadonlySet<string> = new Set(["sys", "proc", "dev"]);

/**
 * Whether a path is the simulated host's: nothing of the real one is seen there.
 *
 * @param path absolute
 */
export function isSimulatedPath(path: string): boolean {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return SIMULATED.has(names[0] ?? "");
}
