/**
 * Time, as a port: the engine never reads a clock by itself, so that tests need no waiting.
 *
 * @module
 */

/** A clock with timers. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after so many milliseconds. @returns a function that calls it off */
  after(ms: number, callback: () => void): () => void;
}

/** The longest a run-time timer can wait, ms (2^31 - 1): longer ones would fire at once. */
const LONGEST_TIMER = 2_147_483_647;

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback) {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (left: number): void => {
      const now = Math.min(left, LONGEST_TIMER);
      timer = setTimeout(() => left > now ? wait(left - now) : callback(), now);
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};
