/** What the kernel's log tells about the guest's health. @module */

/** A sign in the kernel's log that the guest is broken. */
export interface Trouble {
  readonly what: "panic" | "oops" | "bug" | "hung task" | "warning" | "init";
  /** Nothing that runs in the guest can be trusted any more. */
  readonly fatal: boolean;
  readonly line: string;
}

const SIGNS: readonly (readonly [RegExp, Trouble["what"], boolean])[] = [
  [/Kernel panic - not syncing/, "panic", true],
  [/(?:Oops: |general protection fault|unable to handle (?:page fault|kernel))/i, "oops", true],
  [/(?:kernel BUG at|BUG: (?!.*RCU stall))/, "bug", true],
  [/INFO: task .* blocked for more than/, "hung task", true],
  [/bargate-lab: init failed/, "init", true],
  [/WARNING: (?:CPU: |.* at )/, "warning", false],
];

/**
 * @param line a line of the kernel's log
 * @returns what it tells, if it tells of trouble
 *
 * @example
 * ```ts
 * import { findTrouble } from "./kernel_log.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(findTrouble("[    1.2] Kernel panic - not syncing: no init")?.what, "panic");
 * assert.equal(findTrouble("[    1.2] Run /init as init process"), undefined);
 * ```
 */
export function findTrouble(line: string): Trouble | undefined {
  const sign = SIGNS.find(([pattern]) => pattern.test(line));
  return sign && { what: sign[1], fatal: sign[2], line };
}

/** The last lines of a log, for messages. */
export class LogTail {
  readonly #limit: number;
  #lines: string[] = [];

  /** @param limit how many lines to keep */
  constructor(limit = 40) {
    this.#limit = limit;
  }

  /** @param line the newest line */
  add(line: string): void {
    this.#lines = [...this.#lines.slice(1 - this.#limit), line];
  }

  /**
   * @param count how many at most
   * @returns the newest lines, oldest first
   */
  last(count = this.#limit): readonly string[] {
    return this.#lines.slice(-count);
  }
}
