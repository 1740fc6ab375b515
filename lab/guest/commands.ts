/** Feeds a shell with commands that the host has written down. @module */
import { LabError } from "../lab_error.ts";
import { withLimit } from "../limit.ts";
import { GUEST_EXCHANGE } from "../machine/init_script.ts";
import { join } from "../path.ts";
import { COMMANDS_FILE, type OutputStream } from "../protocol/message.ts";
import type { HostPort } from "./port.ts";
import { PROGRAMS } from "./setup.ts";

/** What is left of the output comes at once; what the shell left running may hold it open. */
const REST_LIMIT_MS = 10_000;

/**
 * Runs the commands as `sh <commands` does, and sends what they write as it comes.
 *
 * @param port to the host
 * @returns the shell's exit status
 */
export async function runCommands(port: HostPort): Promise<number> {
  const shell = new Deno.Command("/bin/sh", {
    args: ["-c", 'exec /bin/sh <"$0"', join(GUEST_EXCHANGE, COMMANDS_FILE)],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: shellEnvironment(),
  }).spawn();
  const output = Promise.all([
    sendAll(port, "stdout", shell.stdout),
    sendAll(port, "stderr", shell.stderr),
  ]);
  const { code } = await shell.status;
  await withLimit(output, REST_LIMIT_MS, "the end of the shell's output").catch(sayLeftOver(port));
  return code;
}

function sayLeftOver(port: HostPort): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof LabError)) throw error;
    const text =
      "The shell has ended, and something that it started goes on: its end is not awaited";
    port.send({ kind: "output", stream: "stderr", text: `${text}\n` });
  };
}

/** @returns what a shell of the guest finds besides this program's variables */
export function shellEnvironment(): Readonly<Record<string, string>> {
  return { PATH: `${PROGRAMS}:${Deno.env.get("PATH") ?? ""}` };
}

async function sendAll(
  port: HostPort,
  stream: OutputStream,
  bytes: ReadableStream<Uint8Array>,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const piece of bytes) {
    port.send({ kind: "output", stream, text: decoder.decode(piece, { stream: true }) });
  }
}
