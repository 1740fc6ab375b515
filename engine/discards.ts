/**
 * Strangers' files that are closed and not waited for: how long the close takes is the stranger's to say.
 *
 * @module
 */
import { closeOnLane } from "./close_on_lane.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, Lane } from "./kernel.ts";

/** Closes on one lane, in order. */
export class Discards {
  #pending = 0;

  /**
   * @param kernel the port
   * @param lane that nobody else must wait for while something is pending
   */
  constructor(private readonly kernel: Kernel, private readonly lane: Lane) {}

  /** Whether a close has not returned yet. */
  get pending(): boolean {
    return this.#pending > 0;
  }

  /** Closes a file, at some time. What its close answers is the stranger's to say, too. */
  add(fd: Fd): void {
    if (!fd.open) return;
    this.#pending++;
    void Promise.allSettled([closeOnLane(this.kernel, this.lane, fd)]).then(() => this.#pending--);
  }
}
