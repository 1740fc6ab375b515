/**
 * Asking controllers where their memory buffers are, for a plan: for `export`, which opens them anyway,
 * and where it is asked for (`--probe`).
 *
 * @module
 */
import type { ControllerToAsk } from "../engine/controllers_to_ask.ts";
import { HostNotReadyError, RefusedError } from "../engine/errors.ts";
import { hostFinding } from "../engine/host_findings.ts";
import type { Kernel } from "../engine/kernel.ts";
import { probeController, type ProbeOptions } from "../engine/probe_controller.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { Context } from "./context.ts";
import { visible } from "./output/visible.ts";

/** What came of asking. */
export interface Answers {
  /** By address: functions with what they have answered. */
  readonly functions: ReadonlyMap<string, SnapshotFunction>;
  /** Of controllers that have not answered. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Opens controllers, asks them, and closes them. */
export type AskControllers = (controllers: readonly ControllerToAsk[]) => Promise<Answers>;

/**
 * One after the other. Each is told on standard error before it is opened, for opening tries a reset.
 *
 * @param context of the verb
 * @param kernel through which they are opened
 * @param options how virtual functions are opened
 */
export function askingBy(
  { process }: Context,
  kernel: Kernel,
  options: Pick<ProbeOptions, "vfTokenFor"> = {},
): AskControllers {
  return async (controllers) => {
    const functions = new Map<string, SnapshotFunction>();
    const diagnostics: Diagnostic[] = [];
    for (const { entry, mayEnable } of controllers) {
      const { address } = entry;
      process.stderr.write(
        `${visible(address)}: opened, which tries a reset, to ask for its memory buffer\n`,
      );
      try {
        const answer = await probeController(kernel, entry, { ...options, mayEnable });
        functions.set(address, { ...entry, ...answer });
      } catch (error) {
        if (!(error instanceof HostNotReadyError || error instanceof RefusedError)) throw error;
        diagnostics.push(hostFinding("BG2042", undefined, error.message).diagnostic);
      }
    }
    return { functions, diagnostics };
  };
}
