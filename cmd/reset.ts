/**
 * `bargate reset`: resets a device that a running guardian has open, so that its grants end, or are
 * restored, as their rules say.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { type ControlReply, encodeControl, parseControlReply } from "../engine/control.ts";
import type { ResetMethod } from "../engine/device_guard.ts";
import { RefusedError } from "../engine/errors.ts";
import type { Fd } from "../engine/fd.ts";
import type { Kernel } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import { isPciAddress } from "../host/address.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { runtimeFolder } from "./runtime_folder.ts";

interface Flags {
  readonly method: ResetMethod;
  readonly format: "human" | "json";
}

/** How long a guardian may take to answer. A function reset alone may take 60 s (PCIe). */
const LIMIT_MS = 90_000;

async function reset(this: Context, flags: Flags, device: string): Promise<void> {
  const kernel = new LinuxKernel();
  for (const path of await sockets(runtimeFolder(kernel.uid))) {
    const reply = await ask(kernel, path, device, flags.method);
    if (reply === undefined || reply.type === "absent") continue;
    if (reply.type === "refused") throw new RefusedError(reply.message);
    this.process.stdout.write(
      flags.format === "json"
        ? `${JSON.stringify({ device, ended: reply.ended, restored: reply.restored })}\n`
        : `${device} has been reset; grants ended: ${reply.ended}, restored or renewed: ${reply.restored}\n`,
    );
    this.exitWith(ExitStatus.done);
    return;
  }
  throw new CommandError(
    `Cannot reset ${device}: no running bargate of this account has it open`,
    ExitStatus.hostNotReady,
  );
}

async function sockets(folder: string): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      if (/^[0-9]+\.sock$/.test(name)) paths.push(`${folder}/${name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return paths.sort();
}

/** @returns the reply, or undefined if nobody listens there any more */
async function ask(
  kernel: Kernel,
  path: string,
  device: string,
  method: ResetMethod,
): Promise<ControlReply | undefined> {
  const socket = connect(kernel, path);
  if (socket === undefined) return undefined;
  try {
    const answered = nextPacket(kernel, socket, path);
    kernel.send(socket, encodeControl({ type: "reset", device, method }));
    return parseControlReply(await answered);
  } finally {
    kernel.close(socket);
  }
}

/** A guardian that was killed leaves its socket behind. */
function connect(kernel: Kernel, path: string): Fd | undefined {
  try {
    return kernel.connect(path);
  } catch (error) {
    const gone = error instanceof KernelError &&
      (error.errnoName === "ECONNREFUSED" || error.errnoName === "ENOENT");
    if (gone) return undefined;
    throw error;
  }
}

async function nextPacket(kernel: Kernel, socket: Fd, path: string): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const timer = setTimeout(
    () => reject(new RefusedError(`${path} has not answered within ${LIMIT_MS / 1000} s`)),
    LIMIT_MS,
  );
  const watch = kernel.watch(socket, () => {
    const packet = kernel.receive(socket);
    if (packet === "empty") return;
    if (packet === "end") reject(new RefusedError(`${path} was closed before it answered`));
    else resolve(packet.bytes);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    watch.stop();
  }
}

function parseDevice(text: string): string {
  if (isPciAddress(text)) return text;
  throw new CommandError(
    `Cannot reset a device: a full PCI address is needed, such as 0000:03:00.0 (received ${text})`,
    ExitStatus.usage,
  );
}

/** The verb. */
export const command = buildCommand<Flags, [string], Context>({
  func: reset,
  parameters: {
    flags: {
      method: {
        kind: "enum",
        values: ["function", "decode"],
        default: "function",
        brief: "function: VFIO_DEVICE_RESET; decode: memory decode off and on again",
      },
      format: {
        kind: "enum",
        values: ["human", "json"],
        default: "human",
        brief: "How to print the result",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "PCI address", parse: parseDevice, placeholder: "device" }],
    },
  },
  docs: { brief: "Reset a device that is exported from; its grants end or are restored" },
});
