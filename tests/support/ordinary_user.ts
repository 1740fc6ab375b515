/** Running programs without root's rights, also where the tests are run by root. @module */

/** An account of its own, which has root's files but none of its rights. */
const NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"];
/** Where namespaces are not to be had: root without a single capability. */
const NO_RIGHTS = [
  "setpriv",
  "--bounding-set=-all",
  "--inh-caps=-all",
  "--ambient-caps=-all",
  "--no-new-privs",
  "--",
];

/** @returns what to write before a command so that it has no rights but an ordinary account's */
export async function asOrdinaryUser(): Promise<readonly string[]> {
  if (Deno.uid() !== 0) return [];
  return await works(NAMESPACE) ? NAMESPACE : NO_RIGHTS;
}

async function works([program = "", ...args]: readonly string[]): Promise<boolean> {
  const command = new Deno.Command(program, { args: [...args, "true"], stderr: "null" });
  return (await command.output()).success;
}

/** Environment of a program that has a home and Deno's cache, and nothing else of this process's. */
export function plainEnvironment(): Record<string, string> {
  const kept = ["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
}
