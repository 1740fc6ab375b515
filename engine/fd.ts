/**
 * Ownership of file descriptors.
 *
 * @module
 */

/** A descriptor was used or closed after its owner had given it up. */
export class ClosedFdError extends Error {
  override readonly name = "ClosedFdError";
  constructor(what: string) {
    super(`Cannot use the descriptor of ${what}: it has been closed`);
  }
}

/**
 * An open file descriptor that belongs to Bargate. A number can be closed twice, and then closes
 * somebody else's descriptor; this cannot.
 *
 * @example
 * ```ts
 * import { Fd } from "./fd.ts";
 *
 * const fd = new Fd(7, "dma-buf of cmb/data");
 * fd.release(); // what `Kernel.close` does before it closes 7
 * if (fd.open) throw new Error("still open");
 * ```
 */
export class Fd {
  #number: number | undefined;

  /**
   * @param number the descriptor as the kernel returned it
   * @param what whose descriptor it is, for messages
   */
  constructor(number: number, readonly what: string) {
    this.#number = number;
  }

  /** Whether it has not been given up yet. */
  get open(): boolean {
    return this.#number !== undefined;
  }

  /**
   * The descriptor's number.
   *
   * @throws {ClosedFdError} after `release`
   */
  get number(): number {
    if (this.#number === undefined) throw new ClosedFdError(this.what);
    return this.#number;
  }

  /**
   * Gives the number up: to be called by what closes it, or hands it on, and by nothing else.
   *
   * @returns the number
   * @throws {ClosedFdError} the second time
   */
  release(): number {
    const number = this.number;
    this.#number = undefined;
    return number;
  }
}
