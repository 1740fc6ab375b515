/**
 * What the engine throws: each names what could not be done and why, and keeps its cause.
 *
 * @module
 */

/** The policy does not allow it. */
export class DeniedError extends Error {
  override readonly name = "DeniedError";
}

/** The host, or what is asked of it, is not as it must be; nothing has been exported. */
export class HostNotReadyError extends Error {
  override readonly name = "HostNotReadyError";
}

/** The device that was opened is not the one that the policy and the plan mean. */
export class IdentityDriftError extends HostNotReadyError {}

/** The memory buffer of a controller is not, or no more, where the plan has it. */
export class MemoryLostError extends HostNotReadyError {}

/** The kernel, or a peer, refused at run time. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** A signal asked for the end before the importer was started; everything has been taken back. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";

  /** @param signal its name: `SIGTERM` */
  constructor(readonly signal: string) {
    super(`Ended by ${signal} before the importer was started`);
  }
}
