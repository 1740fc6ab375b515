/** A shell in the guest, on this process's terminal. @module */
import { LabError } from "./lab_error.ts";
import { endedEarly, type Vm, withVm } from "./machine/vm.ts";
import { type MachineParts, prepareExchange, vmOptions } from "./machine_parts.ts";
import { checkoutFolder } from "./places.ts";

/** A person may stay as long as they like; a machine that hangs can be left with Ctrl-a x. */
const A_DAY_MS = 24 * 60 * 60_000;

/**
 * @param parts what a boot needs
 * @returns the shell's exit status; 0 where the person left by switching the machine off
 * @throws LabError when the guest breaks
 */
export async function runShell(parts: MachineParts): Promise<number> {
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
  const status = await withVm({ ...options, terminal: true }, untilItEnds);
  await Deno.remove(exchange, { recursive: true });
  return status;
}

/** Trouble is told after the end: before it, the terminal is the guest's. */
async function untilItEnds(vm: Vm): Promise<number> {
  let status = 0;
  let trouble: string | undefined;
  while (true) {
    const event = await vm.next(A_DAY_MS, "the shell to end");
    if (event.kind === "message" && event.message.kind === "done") {
      status = event.message.status ?? 0;
    }
    if (event.kind === "trouble" && event.trouble.fatal) trouble ??= event.trouble.line;
    if (event.kind !== "end") continue;
    if (trouble !== undefined) {
      throw new LabError(`The guest broke: ${trouble}`, {
        fix: `see kernel.log in ${vm.logFolder}`,
        tail: vm.tail(),
      });
    }
    if (event.status !== 0) throw endedEarly(vm, event.status, "the shell ran");
    return status;
  }
}
