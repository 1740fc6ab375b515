/** Random numbers that a seed decides. @module */

/** A sequence of random numbers: the same seed gives the same ones. */
export class Random {
  #state: number;

  /** @param seed any integer */
  constructor(seed: number) {
    // Neighbouring seeds must not give neighbouring sequences.
    this.#state = Math.imul(seed, 0x9e3779b1) >>> 0;
  }

  /** @returns a number from 0 (included) to 1 (excluded) */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ mixed >>> 15, mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296;
  }

  /** @returns an integer from 0 (included) to `end` (excluded) */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** @returns whether it happens, with this probability */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** @returns one of these, each as likely; of none, `undefined` */
  maybePick<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)];
  }

  /**
   * @param from one or more
   * @returns one of them, each as likely
   */
  pick<T>(from: readonly [T, ...T[]]): T {
    return this.maybePick(from) ?? from[0];
  }
}
