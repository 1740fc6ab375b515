/** @module */
import { LabError } from "./lab_error.ts";

/**
 * Waits for a promise, but not for ever.
 *
 * @param promise what to wait for
 * @param milliseconds how long at most
 * @param what what is waited for, for the message
 * @param tail lines that help to see why it did not come
 * @param fix what to do then
 * @returns what the promise resolves to
 * @throws LabError when the limit has passed
 */
export async function withLimit<T>(
  promise: Promise<T>,
  milliseconds: number,
  what: string,
  tail: () => readonly string[] = () => [],
  fix?: string,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      reject(
        new LabError(`Waited ${seconds(milliseconds)} for ${what}, in vain`, {
          tail: tail(),
          ...(fix !== undefined && { fix }),
        }),
      ),
    milliseconds,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** @returns milliseconds as `1.2 s` */
export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
