/** Feeds a shell in the guest with commands, for who has no terminal. @module */
import { follow } from "./follow.ts";
import { withVm } from "./machine/vm.ts";
import { type MachineParts, prepareExchange, runnerProgram, vmOptions } from "./machine_parts.ts";
import { join } from "./path.ts";
import { COMMANDS_FILE, type OutputStream } from "./protocol/message.ts";

/** Between two pieces of output: a command may take its time, but not for ever. */
const SILENCE_LIMIT_MS = 30 * 60_000;

/**
 * @param parts what a boot needs
 * @param commands what the shell reads, as with `sh <commands`
 * @param write gets what they write, as it comes
 * @returns the shell's exit status
 * @throws LabError when the guest ends, breaks, or is silent for too long
 */
export async function runCommands(
  parts: MachineParts,
  commands: Uint8Array,
  write: (stream: OutputStream, text: string) => void,
): Promise<number> {
  const exchange = await prepareExchange({ job: "commands" }, parts.programs);
  await Deno.writeFile(join(exchange, COMMANDS_FILE), commands);
  const done = await withVm(
    vmOptions(parts, exchange, runnerProgram()),
    (vm) =>
      follow(vm, {
        job: "the shell",
        silenceLimitMs: SILENCE_LIMIT_MS,
        message: (message) => {
          if (message.kind === "output") write(message.stream, message.text);
        },
      }),
  );
  await Deno.remove(exchange, { recursive: true });
  return done.status ?? 0;
}
