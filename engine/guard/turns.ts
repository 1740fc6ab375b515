/**
 * Turns at one device: what is done to it never interleaves.
 *
 * @module
 */

/** A queue of work. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** @param onOver told after each turn */
  constructor(private readonly onOver: () => void) {}

  /**
   * Waits until nothing is being done, and keeps others from it meanwhile.
   *
   * @param work must not wait for another turn
   */
  take<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    this.#last = Promise.allSettled([run]).then(() => this.onOver());
    return run;
  }
}
