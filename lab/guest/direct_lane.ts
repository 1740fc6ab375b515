/** Calls of a lane, made on the thread itself: for cases in which no call can wait. @module */
import type { Fd } from "../../engine/fd.ts";
import type { Lane } from "../../engine/kernel.ts";
import { BLOCKING_CALLS } from "../../ffi/blocking_calls.ts";

type Calls = { [K in keyof Lane]: Lane[K] };

/**
 * @param name for messages
 * @returns a lane without a thread; what it opens is the process's
 */
export function directLane(name: string): Lane {
  const calls = Object.fromEntries(
    Object.entries(BLOCKING_CALLS).map(([call, make]) => [
      call,
      (...args: readonly unknown[]) =>
        Promise.try(() => (make as (...args: readonly unknown[]) => Fd | undefined)(...args)),
    ]),
  );
  return { ...calls, name, waiting: undefined, end: () => Promise.resolve() } as unknown as Calls;
}
