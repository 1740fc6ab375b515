/** @module */

const PAUSE_MS = 5;

/**
 * Asks again and again until the answer is there. For what the kernel offers no event for; where
 * there is an event, wait for that.
 *
 * @param what what is waited for, for the message
 * @param limitMs how long at most
 * @param probe gives the answer, or `undefined` when it is not there yet
 * @returns the answer
 * @throws Error when the limit has passed
 */
export async function until<T>(
  what: string,
  limitMs: number,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const end = performance.now() + limitMs;
  while (true) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`Waited ${limitMs} ms for ${what}, in vain`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
