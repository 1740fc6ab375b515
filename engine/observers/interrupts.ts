/**
 * The interrupts of an own device that tell of events: REQ (an unbind or an unplug asks for the
 * device) and ERR (AER has reported that it failed).
 *
 * @module
 */
import type { Fd } from "../fd.ts";
import type { EventInterrupt } from "../kernel.ts";
import type { ObservationKind, Observer, ObserverContext } from "./observation.ts";
import { stopAll } from "./stop_all.ts";
import { whenReadable } from "./when_readable.ts";

/** The device whose interrupts are taken. */
export interface InterruptSource {
  readonly session: {
    readonly target: { readonly address: string };
    arm(which: EventInterrupt, eventFd: Fd): Promise<boolean>;
  };
  /** What to do again in each new generation. */
  onReopen(work: () => Promise<unknown>): void;
}

const KINDS: Readonly<Record<EventInterrupt, ObservationKind>> = {
  request: "removal",
  error: "error",
};

/**
 * Arms both interrupts, now and in each generation to come. A device that has one of them not is
 * watched by the others.
 *
 * @param context takes what is seen
 * @param source the open device
 * @returns the watching
 * @throws {RefusedError} if the kernel refuses; nothing is left open
 */
export async function observeInterrupts(
  context: ObserverContext,
  source: InterruptSource,
): Promise<Observer> {
  const observers: Observer[] = [];
  const stop = () => stopAll(observers);
  try {
    for (const which of ["request", "error"] as const) {
      observers.push(await observeOne(context, source, which));
    }
    return { stop };
  } catch (error) {
    stop();
    throw error;
  }
}

async function observeOne(
  context: ObserverContext,
  source: InterruptSource,
  which: EventInterrupt,
): Promise<Observer> {
  const { kernel, tell } = context;
  const { address } = source.session.target;
  const fd = kernel.eventFd(`${which} interrupt of ${address}`);
  const observer = whenReadable(context, fd, () => {
    if (kernel.readEventFd(fd) === 0n) return;
    const cause = { source: `${which}-interrupt` };
    tell({ devices: [address], kind: KINDS[which], cause });
  });
  // A generation can begin after the watching has ended.
  const arm = () => fd.open ? source.session.arm(which, fd) : Promise.resolve(false);
  try {
    await arm();
  } catch (error) {
    observer.stop();
    throw error;
  }
  source.onReopen(arm);
  return observer;
}
