/**
 * How a program that Bargate started is got to end when Bargate is asked to: its grants are over, and
 * that it ignores SIGTERM must not keep Bargate for ever.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import type { EventLog } from "./event.ts";
import type { AskedProcess } from "./importer_process.ts";

/** How long it may take to end by itself, ms. */
const PARTING_MS = 30_000;

/** What an end needs from around it. */
export interface PartingContext {
  readonly clock: Clock;
  readonly log: EventLog;
}

/** The end of one importer. */
export class ImporterParting {
  #asked: AskedProcess | undefined;
  #callOff: (() => void) | undefined;

  /**
   * @param context clock, and log of what is waited for
   * @param guarded makes a callback of the event loop safe
   */
  constructor(
    private readonly context: PartingContext,
    private readonly guarded: (work: () => void) => void,
  ) {}

  /**
   * Says what is waited for, and for how long.
   *
   * @param asked what was asked to end; undefined where there is nothing to wait for
   */
  begin(asked: AskedProcess | undefined): void {
    if (asked === undefined) return;
    this.#asked = asked;
    const seconds = PARTING_MS / 1000;
    const detail = `${asked.who}, by SIGTERM; it is killed unless it has ended within ${seconds} s`;
    const { clock, log } = this.context;
    log.record({
      type: "importer-asked",
      importer: asked.name,
      cause: { source: "signal", detail },
    });
    const late = { source: "timer", detail: `${asked.who} has not ended within ${seconds} s` };
    this.#callOff = clock.after(PARTING_MS, () => this.guarded(() => this.#kill(late)));
  }

  /**
   * Waits no longer.
   *
   * @param signal what asked for it
   * @returns whether there was a process to be killed; each is killed once
   */
  insist(signal: string): boolean {
    return this.#kill({ source: "signal", detail: signal });
  }

  #kill(cause: { source: string; detail: string }): boolean {
    const asked = this.#asked;
    if (asked === undefined) return false;
    this.stop();
    if (!asked.kill()) return false;
    this.context.log.record({ type: "importer-killed", importer: asked.name, cause });
    return true;
  }

  /** It has ended, or need not any more. */
  stop(): void {
    this.#asked = undefined;
    this.#callOff?.();
    this.#callOff = undefined;
  }
}
