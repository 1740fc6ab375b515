/**
 * What observers tell, whatever they watch: one shape, so that what follows from it is decided in one
 * place.
 *
 * @module
 */
import type { Cause } from "../event.ts";
import type { Kernel } from "../kernel.ts";

/**
 * What was seen. `removal`: the device is asked for, or has gone; `error`: it has failed; `reset`: it
 * was reset past VFIO; `config-write`: somebody wrote to its configuration space past VFIO; `revoke`,
 * `unrevoke`: the kernel has begun to revoke its buffers, or to validate them again; `look`: nothing
 * by itself, but a reason to compare what is with what should be.
 */
export type ObservationKind =
  | "removal"
  | "error"
  | "reset"
  | "config-write"
  | "revoke"
  | "unrevoke"
  | "look";

/** Something that was seen. */
export interface Observation {
  /** PCI addresses of the devices that it hits, own ones and others; `all`: nobody knows which. */
  readonly devices: readonly string[] | "all";
  readonly kind: ObservationKind;
  readonly cause: Cause;
}

/** What an observer needs from around it. */
export interface ObserverContext {
  readonly kernel: Kernel;
  /** Takes what was seen. Must not throw. */
  readonly tell: (observation: Observation) => void;
  /** Takes what went wrong while looking. Must not throw. */
  readonly failed: (error: unknown) => void;
}

/** Something that watches until it is stopped. */
export interface Observer {
  /** Ends the watching, and closes what it needed. */
  stop(): void;
}
