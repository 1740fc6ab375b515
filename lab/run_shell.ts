/** A shell in the guest, on this process's terminal. @module */
import { withVm } from "./machine/vm.ts";
import { type MachineParts, prepareExchange, vmOptions } from "./machine_parts.ts";
import { checkoutFolder } from "./places.ts";

/** A person may stay as long as they like; a machine that hangs can be left with Ctrl-a x. */
const A_DAY_MS = 24 * 60 * 60_000;

/**
 * @param parts what a boot needs
 */
export async function runShell(parts: MachineParts): Promise<void> {
  const exchange = await prepareExchange({ job: "cases", rounds: 1, skip: [] }, parts.programs);
  const command = [
    Deno.execPath(),
    "run",
    "-A",
    "--cached-only",
    "--quiet",
    `${checkoutFolder()}/lab/guest/shell.ts`,
  ];
  const options = vmOptions(parts, exchange, { command, terminal: "ttyS1" });
  await withVm({ ...options, terminal: true }, async (vm) => {
    while ((await vm.next(A_DAY_MS, "the shell to end")).kind !== "end");
  });
  await Deno.remove(exchange, { recursive: true });
}
