/**
 * Long work in slices, between which the event loop gets its turn.
 *
 * @module
 */

/** Steps of a slice. One is a few reads of procfs, some 30 µs. */
const STEPS = 64;

/** Counts steps. */
export class Slices {
  #left = STEPS;

  /** Before each step. @param steps how many it is worth */
  async next(steps = 1): Promise<void> {
    this.#left -= steps;
    if (this.#left > 0) return;
    this.#left = STEPS;
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
  }
}
