/**
 * A device's `memory_lock`, and work that waits while it is held: who revokes holds it until every
 * importer has let go, and what touches the device's memory waits behind (drivers/vfio/pci, Linux 7.3).
 *
 * @module
 */

/** Work that may have to wait in between. */
export type Steps<T = void> = Generator<Promise<void>, T, void>;

/**
 * Does work: at once, as far as nothing makes it wait.
 *
 * @param steps the work; what it waits for never fails
 * @returns what it comes to
 */
export function drive<T>(steps: Steps<T>): T | Promise<T> {
  const step = steps.next();
  return step.done === true ? step.value : step.value.then(() => drive(steps));
}

/** One holder at a time. Readers exclude each other too: nobody sees the difference. */
export class SimMemoryLock {
  #released: Promise<void> | undefined;

  /** Whether somebody has it at this moment. */
  get isHeld(): boolean {
    return this.#released !== undefined;
  }

  /** Does at once, when it is free, what makes nobody wait. */
  do<T>(work: () => T): T | Promise<T> {
    return this.#released === undefined ? work() : this.#released.then(() => this.do(work));
  }

  /** Does work when it is free, and keeps it meanwhile. */
  *hold<T>(work: Steps<T>): Steps<T> {
    while (this.#released !== undefined) yield this.#released;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#released = promise;
    try {
      return yield* work;
    } finally {
      this.#released = undefined;
      resolve();
    }
  }
}
