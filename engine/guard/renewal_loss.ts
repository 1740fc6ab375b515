/**
 * Why a new generation could not be made, as a reason of an end. Nothing is late by it: what was
 * granted before has ended by then, and nothing else was granted.
 *
 * @module
 */
import type { EndReason } from "../end.ts";
import { HostNotReadyError, IdentityDriftError, MemoryLostError, RefusedError } from "../errors.ts";
import { KernelError } from "../kernel_error.ts";

/** What stands instead of a new generation. */
export interface RenewalLoss {
  readonly reason: EndReason;
  /** What could not be done, and why. */
  readonly detail: string;
}

/** What the kernel answers of a device, or of its node, that is no more. */
const GONE: ReadonlySet<string> = new Set(["ENODEV", "ENOENT", "ENXIO"]);
/** What it answers of a device that is there and does not answer. */
const BROKEN: ReadonlySet<string> = new Set(["EIO"]);

/**
 * @param error what opening the device again, or preparing it, has thrown
 * @returns what it means, or undefined if it is no refusal: then something is wrong with Bargate
 */
export function lossOf(error: unknown): RenewalLoss | undefined {
  if (!(error instanceof HostNotReadyError || error instanceof RefusedError)) return undefined;
  return { reason: reasonOf(error), detail: error.message };
}

function reasonOf(error: Error): EndReason {
  // Another one is where it was.
  if (error instanceof IdentityDriftError) return "device-removed";
  // Opening it again has reset it.
  if (error instanceof MemoryLostError) return "device-reset";
  const { cause } = error;
  if (cause instanceof KernelError && GONE.has(cause.errnoName)) return "device-removed";
  if (cause instanceof KernelError && BROKEN.has(cause.errnoName)) return "device-error";
  return cause instanceof HostNotReadyError || cause instanceof RefusedError
    ? reasonOf(cause)
    : "failed";
}
