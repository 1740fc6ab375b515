/**
 * Ending several watchings.
 *
 * @module
 */
import type { Observer } from "./observation.ts";

/**
 * Stops all; one that cannot keeps none of the others.
 *
 * @param observers to stop
 * @throws what the last one threw that could not stop
 */
export function stopAll(observers: readonly Observer[]): void {
  const failures: unknown[] = [];
  for (const observer of observers) {
    try {
      observer.stop();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures.at(-1);
}
