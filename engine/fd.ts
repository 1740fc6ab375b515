/**
 * Ownership of file descriptors.
 *
 * @module
 */

/** A descriptor was used or closed after its owner had given it up, or where it is not. */
export class ClosedFdError extends Error {
  override readonly name = "ClosedFdError";
  constructor(what: string, why = "it has been closed") {
    super(`Cannot use the descriptor of ${what}: ${why}`);
  }
}

/**
 * An open file descriptor that belongs to Bargate. A number can be closed twice, and then closes
 * somebody else's descriptor; this cannot. A thread can have a table of descriptors of its own: what
 * is open there has no number elsewhere.
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
   * @param table the thread in whose own table it is; absent: the process's
   */
  constructor(number: number, readonly what: string, readonly table?: string) {
    this.#number = number;
  }

  /** Whether it has not been given up yet. */
  get open(): boolean {
    return this.#number !== undefined;
  }

  /**
   * The descriptor's number in the process's table.
   *
   * @throws {ClosedFdError} after `release`, and if it is in a thread's own table
   */
  get number(): number {
    return this.numberIn(undefined);
  }

  /**
   * The descriptor's number in a table.
   *
   * @param table a thread's own, or absent for the process's
   * @throws {ClosedFdError} after `release`, and if it is in another table
   */
  numberIn(table: string | undefined): number {
    if (this.#number === undefined) throw new ClosedFdError(this.what);
    if (this.table !== table) {
      throw new ClosedFdError(
        this.what,
        `it is open in the table of ${this.table ?? "the process"}`,
      );
    }
    return this.#number;
  }

  /**
   * Gives the number up: to be called by what closes it, or hands it on, and by nothing else.
   *
   * @returns the number
   * @throws {ClosedFdError} the second time
   */
  release(): number {
    const number = this.numberIn(this.table);
    this.#number = undefined;
    return number;
  }
}
