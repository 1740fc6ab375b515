/**
 * What is around a guarded device.
 *
 * @module
 */
import type { BargatePacket } from "./channel.ts";
import type { Clock } from "./clock.ts";
import type { Cause, EventFacts, EventLog } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { Grant } from "./grant.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { causeOf } from "./refusal.ts";
import type { GuardedSession } from "./guarded_session.ts";

/**
 * What became of something that the importer was to be told: it will read it; it has gone or does not
 * read; or there is no importer yet, and it will be told of all that stands when it comes.
 */
export type Told = "told" | "gone" | "nobody-yet";

/** What a guard needs from around it. */
export interface GuardContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: EventLog;
  /** How long a call of an end may take before it is reported as late, ms. */
  readonly limitMs: number;
  /** Tells the importer. */
  readonly notify: (packet: BargatePacket, fds?: readonly Fd[]) => Told;
  /** A revoke was late, or its end could not be seen. */
  readonly onTrouble: () => void;
  /** What was asked of the device is done, and grants may have ended. */
  readonly onTurn: () => void;
}

/** One guarded device, for all that is done to it. */
export interface GuardedDevice {
  readonly session: GuardedSession;
  /** Of the session, for mappings. */
  readonly lane: Lane;
  readonly context: GuardContext;
  readonly record: GuardRecorder;
}

/** Writes what happens to one device and its grants. */
export class GuardRecorder {
  /**
   * @param context of the guard
   * @param session of the device
   * @param holders who may have its buffers, for what is late
   */
  constructor(
    private readonly context: GuardContext,
    private readonly session: GuardedSession,
    private readonly holders: () => readonly string[],
  ) {}

  /** Records what happened to a grant. */
  grant(type: EventFacts["type"], grant: Grant, more: Partial<EventFacts> = {}): void {
    const { plan } = grant;
    this.context.log.record({
      type,
      generation: grant.generation,
      grant: grant.id,
      export: plan.export,
      device: plan.device.address,
      importer: plan.importer.name,
      ...more,
    });
  }

  /** Records what happened to the device. */
  device(type: EventFacts["type"], more: Partial<EventFacts> = {}): void {
    const { session } = this;
    this.context.log.record({
      type,
      generation: session.generation,
      device: session.target.address,
      ...more,
    });
  }

  /** The kernel waits for importers, and does not say for whom. */
  #heldBy(): string {
    const holders = this.holders();
    return holders.length === 0 ? "" : `; not let go of: ${holders.join(", ")}`;
  }

  /** Something that belongs to an end went wrong: it is told, and it counts. */
  trouble(cause: Cause): void {
    this.context.onTrouble();
    this.device("late", { cause });
  }

  /**
   * Reports a call that takes too long, and goes on waiting for it: nothing is done before it returns.
   *
   * @param what for the message: `close 0000:01:00.0`
   * @param call that was made
   */
  async limited<T>(what: string, call: Promise<T>): Promise<T> {
    const { clock, limitMs } = this.context;
    const callOff = clock.after(limitMs, () => {
      this.trouble({
        source: "watchdog",
        detail: `${what} has not returned after ${limitMs} ms${this.#heldBy()}`,
      });
    });
    try {
      return await call;
    } finally {
      callOff();
    }
  }

  /**
   * Makes a step whose failure must not keep the others from being made.
   *
   * @param what for the message
   * @param step to make
   * @returns what it returns; undefined if it failed, which is told and counts
   */
  async attempt<T>(what: string, step: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.limited(what, step());
    } catch (error) {
      this.trouble({ source: "engine", detail: `${what}: ${messageOf(error)}` });
      return undefined;
    }
  }
}

/** @returns what an error says; of the kernel's refusals, what they mean */
export function messageOf(error: unknown): string {
  if (error instanceof KernelError) {
    return `${error.subject}: ${causeOf(error)} (${error.errnoName})`;
  }
  return error instanceof Error ? error.message : String(error);
}
