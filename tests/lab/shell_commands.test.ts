/** A shell without a terminal: what it is fed with, and how the guest's answer is heard out. */
import assert from "node:assert/strict";
import { readCommands } from "../../cmd/lab_commands.ts";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { follow } from "../../lab/follow.ts";
import { LabError } from "../../lab/lab_error.ts";
import type { Vm, VmEvent } from "../../lab/machine/vm.ts";
import { LabOutput } from "../../lab/output.ts";
import type { GuestMessage } from "../../lab/protocol/message.ts";

const QUIET = new LabOutput({ isTerminal: false, write: () => undefined }, false);

function read(text: string): Promise<Uint8Array> {
  return readCommands(QUIET, ReadableStream.from([new TextEncoder().encode(text)]));
}

function refusal(pattern: RegExp) {
  return (error: unknown) =>
    error instanceof CommandError && error.status === ExitStatus.usage &&
    pattern.test(error.message);
}

Deno.test("readCommands() reads standard input to its end", async () => {
  assert.equal(new TextDecoder().decode(await read("lspci\nexit\n")), "lspci\nexit\n");
});

Deno.test("readCommands() refuses an input without commands, and one that is too long", async () => {
  await assert.rejects(read(" \n"), refusal(/standard input is no terminal and has no commands/));
  await assert.rejects(read("x".repeat(2 ** 20 + 1)), refusal(/more than 1 MiB/));
});

function machine(...events: readonly VmEvent[]): Vm {
  const left = [...events];
  return {
    logFolder: "/logs",
    tail: () => ["kernel: last words"],
    next: () => Promise.resolve(left.shift() ?? { kind: "end", status: 1 }),
  };
}

function says(message: GuestMessage): VmEvent {
  return { kind: "message", message };
}

async function heard(vm: Vm) {
  const messages: GuestMessage[] = [];
  const done = await follow(vm, {
    job: "the shell",
    silenceLimitMs: 1000,
    message: (message) => messages.push(message),
  });
  return { messages, done };
}

Deno.test("follow() hands on messages and returns the last", async () => {
  const output = { kind: "output", stream: "stdout", text: "x" } as const;
  const warning = { what: "warning", fatal: false, line: "WARNING: x" } as const;
  const last = { kind: "done", ok: true, status: 3 } as const;
  const vm = machine(says(output), { kind: "trouble", trouble: warning }, says(last));
  assert.deepEqual(await heard(vm), { messages: [output], done: last });
});

Deno.test("follow() throws when the guest ends, breaks or fails", async () => {
  const failure = (pattern: RegExp) => (error: unknown) =>
    error instanceof LabError && pattern.test(error.message) && error.tail.length > 0;
  await assert.rejects(heard(machine()), failure(/ended \(QEMU's status 1\) while the shell ran/));
  const panic = { what: "panic", fatal: true, line: "Kernel panic" } as const;
  await assert.rejects(
    heard(machine({ kind: "trouble", trouble: panic })),
    failure(/^kernel panic while the shell ran: Kernel panic$/),
  );
  await assert.rejects(
    heard(machine(says({ kind: "done", ok: false, message: "no device" }))),
    failure(/^Cannot go on with the shell: no device$/),
  );
});
