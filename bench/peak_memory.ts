/**
 * Checks a policy and prints the most memory that the process ever had, bytes.
 *
 * Run: `deno run -A bench/peak_memory.ts FILE`
 *
 * @module
 */
import { loadPolicySet } from "../policy/load.ts";

const [file = ""] = Deno.args;
const { set, diagnostics } = loadPolicySet([{ file, bytes: Deno.readFileSync(file) }]);
if (set === undefined) {
  throw new Error(`Cannot bench an invalid policy: ${diagnostics[0]?.message}`);
}
const [, kibibytes] = /^VmHWM:\s+([0-9]+) kB$/m.exec(Deno.readTextFileSync("/proc/self/status")) ??
  [];
console.log(Number(kibibytes) * 1024);
