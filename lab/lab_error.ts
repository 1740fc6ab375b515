/** @module */

/** What a {@linkcode LabError} can add to its message. */
export interface LabErrorDetail {
  /** What the person can do about it. */
  readonly fix?: string;
  /** The last lines of the log that shows the cause. */
  readonly tail?: readonly string[];
  readonly cause?: unknown;
  /** It is about something that the person named on the command line. */
  readonly named?: boolean;
}

/** The laboratory cannot go on: something is missing, failed, or did not come in time. */
export class LabError extends Error {
  override readonly name = "LabError";
  /** What the person can do about it. */
  readonly fix: string | undefined;
  /** The last lines of the log that shows the cause. */
  readonly tail: readonly string[];
  /** It is about something that the person named on the command line. */
  readonly named: boolean;

  /**
   * @param message what cannot be done and why
   * @param detail a fix, the tail of a log, the cause
   */
  constructor(message: string, detail: LabErrorDetail = {}) {
    super(message, { cause: detail.cause });
    this.fix = detail.fix;
    this.tail = detail.tail ?? [];
    this.named = detail.named ?? false;
  }
}

/**
 * The error as lines for a person.
 *
 * @param error what went wrong
 * @returns message, fix and log tail, one line each
 */
export function describeLabError(error: LabError): readonly string[] {
  const fix = error.fix === undefined ? [] : [`  to do: ${error.fix}`];
  return [error.message, ...fix, ...error.tail.map((line) => `  | ${line}`)];
}
