/**
 * Asking controllers where their memory buffers are, for a plan: for `export`, which opens them anyway,
 * and where it is asked for (`--probe`).
 *
 * @module
 */
import { type Clock, systemClock } from "../engine/clock.ts";
import type { ControllerToAsk } from "../engine/controllers_to_ask.ts";
import { HostNotReadyError, RefusedError } from "../engine/errors.ts";
import { hostFinding } from "../engine/host_findings.ts";
import { inTime } from "../engine/in_time.ts";
import type { Kernel } from "../engine/kernel.ts";
import { probeController, type ProbeOptions } from "../engine/probe_controller.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { PolicySet } from "../policy/model.ts";
import type { Context } from "./context.ts";
import { visible } from "./output/visible.ts";

/** What came of asking. */
export interface Answers {
  /** By address: functions with what they have answered. */
  readonly functions: ReadonlyMap<string, SnapshotFunction>;
  /** Of controllers that have not answered. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Opens controllers, asks them, and closes them; for a plan of a policy set. `refused`: nothing was
 * opened, for what is planned is refused whatever they would answer.
 */
export type AskControllers = (
  controllers: readonly ControllerToAsk[],
  set: PolicySet,
) => Promise<Answers | "refused">;

/** How they are asked. */
export interface AskOptions extends Pick<ProbeOptions, "vfTokenFor"> {
  /** Of the limit; absent: the system's. */
  readonly clock?: Clock;
}

/**
 * One after the other, each for a limited time. Each is told on standard error before it is opened, for
 * opening tries a reset. The call of one that did not answer keeps its thread, and so whoever asks has
 * to end the process (`exitNow`).
 *
 * @param context of the verb
 * @param kernel through which they are opened
 * @param options how virtual functions are opened, and by which clock
 */
export function askingBy(
  { process }: Context,
  kernel: Kernel,
  { clock = systemClock, ...options }: AskOptions = {},
): (controllers: readonly ControllerToAsk[]) => Promise<Answers> {
  return async (controllers) => {
    const functions = new Map<string, SnapshotFunction>();
    const diagnostics: Diagnostic[] = [];
    for (const { entry, mayEnable } of controllers) {
      const { address } = entry;
      process.stderr.write(
        `${visible(address)}: opened, which tries a reset, to ask for its memory buffer\n`,
      );
      try {
        const probe = probeController(kernel, entry, { ...options, mayEnable });
        const answer = await inTime(clock, address, probe);
        functions.set(address, { ...entry, ...answer });
      } catch (error) {
        if (!(error instanceof HostNotReadyError || error instanceof RefusedError)) throw error;
        diagnostics.push(hostFinding("BG2042", undefined, error.message).diagnostic);
      }
    }
    return { functions, diagnostics };
  };
}
