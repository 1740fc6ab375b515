/**
 * `bargate reset`: resets a device that a running guardian has open, so that its grants end, or are
 * restored, as their rules say.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import type { ControlReply } from "../engine/control.ts";
import type { ResetMethod } from "../engine/device_guard.ts";
import { RefusedError } from "../engine/errors.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import { isPciAddress } from "../host/address.ts";
import { askGuardian } from "./ask_guardian.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { operatorSockets } from "./operator_socket.ts";
import { checkRuntimeFolder, runtimeFolder } from "./runtime_folder.ts";

interface Flags {
  readonly method: ResetMethod;
  readonly format: "human" | "json";
}

type Done = Extract<ControlReply, { readonly type: "done" }>;

async function reset(this: Context, flags: Flags, device: string): Promise<void> {
  const kernel = new LinuxKernel();
  const folder = runtimeFolder(kernel.uid);
  await checkRuntimeFolder(kernel.uid, folder);
  for (const { path } of await operatorSockets(folder)) {
    const reply = await askGuardian(kernel, path, { type: "reset", device, method: flags.method });
    if (reply === undefined || reply.type === "absent") continue;
    if (reply.type === "refused") throw new RefusedError(reply.message);
    this.process.stdout.write(
      flags.format === "json" ? resultJson(device, reply) : resultText(device, reply),
    );
    this.exitWith(reply.failed > 0 ? ExitStatus.revokeFailed : ExitStatus.done);
    return;
  }
  throw new CommandError(
    `Cannot reset ${device}: no running bargate of this account has it open`,
    ExitStatus.hostNotReady,
  );
}

/** One JSON value. */
export function resultJson(device: string, { ended, failed, restored }: Done): string {
  return `${JSON.stringify({ device, ended, failed, restored })}\n`;
}

/** The same for people: a line. */
export function resultText(device: string, { ended, failed, restored }: Done): string {
  const unseen = failed === 0 ? "" : `, ENDS THAT COULD NOT BE SEEN: ${failed}`;
  return `${device} has been reset; grants ended: ${ended}, restored or renewed: ${restored}${unseen}\n`;
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
  docs: {
    brief: "Reset a device that is exported from; its grants end or are restored",
    fullDescription: [
      "Asks the running bargate of this account that has the device open. Root's and each other",
      "account's are apart: to reach one of another account, run this as that account.",
      "",
      "Exit status 6: the device was reset, but the end of a grant could not be seen.",
    ].join("\n"),
  },
});
