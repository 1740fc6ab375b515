/**
 * What an errno means: the cause, in words, of a call that the kernel refused.
 *
 * @module
 */
import { CAUSES } from "./causes.ts";
import { HostNotReadyError, RefusedError } from "./errors.ts";
import { KernelError } from "./kernel_error.ts";

/**
 * Says what a refused call means.
 *
 * @param error the refusal
 * @returns the cause in words; where none is known, the errno with the call, so that it can be looked up
 *
 * @example
 * ```ts
 * import { KernelError } from "./kernel_error.ts";
 * import { causeOf } from "./refusal.ts";
 *
 * const error = new KernelError("VFIO_DEVICE_RESET", 22, "EINVAL", "0000:01:00.0");
 * if (!causeOf(error).includes("no function reset")) throw new Error(causeOf(error));
 * ```
 */
export function causeOf(error: KernelError): string {
  const known = CAUSES[error.call]?.[error.errnoName] ?? CAUSES[error.subject]?.[error.errnoName];
  return known ??
    `the kernel answered ${error.errnoName} to ${error.call}, for which no cause is known`;
}

/**
 * Runs a step and gives its refusal a meaning.
 *
 * @param what the step, after "Cannot": `bind 0000:01:00.0`
 * @param step what may throw {@linkcode KernelError}
 * @returns what the step returns
 * @throws {RefusedError} with the cause in words, and the kernel's answer as `cause`
 */
export async function explained<T>(what: string, step: () => Promise<T> | T): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw refusedBy(what, error);
  }
}

/**
 * @param what the step, after "Cannot"
 * @param error what it threw
 * @returns a refusal of the kernel's with its meaning; what is none, as it is
 */
export function refusedBy(what: string, error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  const message = `Cannot ${what}: ${causeOf(error)} (${error.errnoName})`;
  return new RefusedError(message, { cause: error });
}

/**
 * Gives back what was got hold of for something that has failed.
 *
 * @param failure what is told, also if this fails too
 * @param giveBack what to do
 * @throws the failure, or {@linkcode RefusedError} with both
 */
export async function undo(failure: unknown, giveBack: () => Promise<void>): Promise<never> {
  try {
    await giveBack();
  } catch (error) {
    const told = [refusedBy("go on", failure), refusedBy("close what was opened for it", error)];
    const texts = told.map((it) => it instanceof Error ? it.message : String(it));
    throw new RefusedError(texts.join("; and then: "), { cause: failure });
  }
  throw failure;
}

/**
 * The same for a step that fails because of the state of the host.
 *
 * @param known what the refusal means here, where that is known better than from call and errno
 * @throws {HostNotReadyError}
 */
export async function ready<T>(
  what: string,
  step: () => Promise<T> | T,
  known: (error: KernelError) => string | undefined = () => undefined,
): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const cause = known(error) ?? causeOf(error);
    throw new HostNotReadyError(`Cannot ${what}: ${cause} (${error.errnoName})`, {
      cause: error,
    });
  }
}
