/** @module */

/** Values from several producers, taken in order by one consumer. */
export class Queue<T> {
  readonly #values: T[] = [];
  #waiting: ((value: T) => void) | undefined;

  /** @param value goes to the waiting consumer, or waits for it */
  put(value: T): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#values.push(value);
    else waiting(value);
  }

  /** @returns the next value, when there is one */
  take(): Promise<T> {
    const value = this.#values.shift();
    if (value !== undefined) return Promise.resolve(value);
    return new Promise((resolve) => this.#waiting = resolve);
  }
}
