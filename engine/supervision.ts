/**
 * What becomes of failures and delays of work that nobody awaits: they are told, and they count.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import type { Cause, EventLog } from "./event.ts";
import { messageOf } from "./guard_context.ts";

/** Looks after the work of one guardian. */
export class Supervision {
  #trouble = false;

  /**
   * @param clock for limits
   * @param log is told
   */
  constructor(private readonly clock: Clock, private readonly log: EventLog) {}

  /** Whether something was late or failed. */
  get trouble(): boolean {
    return this.#trouble;
  }

  /** Something was late or failed, and was told elsewhere. */
  counted(): void {
    this.#trouble = true;
  }

  /** Tells that something was late or failed. */
  late(cause: Cause): void {
    this.#trouble = true;
    this.log.record({ type: "late", cause });
  }

  /** Tells of a failure. */
  failed(error: unknown): void {
    this.late({ source: "engine", detail: messageOf(error) });
  }

  /** For work that nobody awaits: a failure is trouble, never silence. */
  background(work: Promise<void>): void {
    work.catch((error: unknown) => this.failed(error));
  }

  /** For callbacks of the event loop, where a throw would end the process. */
  guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failed(error);
    }
  }

  /** @returns what the work gives, or undefined if it takes longer; it goes on then, unattended */
  async within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
    const timeUp = Promise.withResolvers<undefined>();
    const callOff = this.clock.after(ms, () => {
      timeUp.resolve(undefined);
      this.background(work.then(() => undefined));
    });
    try {
      return await Promise.race([work, timeUp.promise]);
    } finally {
      callOff();
    }
  }
}
