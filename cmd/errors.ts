/**
 * Errors as people see them: one readable line, with the chain of causes, never a stack trace
 * unless it was asked for.
 *
 * @module
 */
import { ExitStatus } from "./exit_status.ts";
import { visible } from "./output/visible.ts";

/** Something that ends the verb, with the exit status that says why. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly status: ExitStatus;
  /** Whether line feeds in the message end lines of its own. */
  readonly hasLines: boolean;

  /**
   * @param message "Cannot X: why (received Y)"; of several things, a line for each
   * @param status what the process exits with
   */
  constructor(message: string | readonly string[], status: ExitStatus, options?: ErrorOptions) {
    super(typeof message === "string" ? message : message.map(visible).join("\n"), options);
    this.hasLines = typeof message !== "string";
    this.status = status;
  }
}

/** How many causes are printed; a longer chain is a loop. */
const MAX_CAUSES = 8;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/**
 * Describes a thrown value for people.
 *
 * @param error what was thrown
 * @param withStack whether to append stack traces, for people who debug Bargate itself
 * @returns the message, then that of each cause that adds something
 *
 * @example
 * ```ts
 * import { describeError } from "./errors.ts";
 * import assert from "node:assert/strict";
 *
 * const cause = new Error("no such file");
 * assert.equal(describeError(new Error("Cannot read a.yaml", { cause })), "Cannot read a.yaml: no such file");
 * ```
 */
export function describeError(error: unknown, withStack = false): string {
  const chain = causes(error);
  const parts: string[] = [];
  for (const cause of chain) {
    // A message often already quotes its cause; saying it twice helps nobody.
    if (!parts.some((part) => saysAlready(part, cause))) parts.push(messageOf(cause));
  }
  const line = parts.join(": ");
  return withStack ? [line, ...stacksOf(error)].join("\n") : line;
}

/**
 * What the kernel answered is said where its name stands in brackets behind what it means; the number
 * that the runtime adds says no more.
 */
function saysAlready(text: string, cause: unknown): boolean {
  if (text.includes(messageOf(cause).replace(/ \(os error \d+\)$/, ""))) return true;
  return cause instanceof Error && cause.name === "KernelError" && "errnoName" in cause &&
    text.includes(`(${cause.errnoName})`);
}

/** @returns stack traces of the same, for people who debug Bargate itself */
export function stacksOf(error: unknown): readonly string[] {
  return causes(error).flatMap((e) => e instanceof Error && e.stack !== undefined ? [e.stack] : []);
}

function causes(error: unknown): readonly unknown[] {
  const chain: unknown[] = [error];
  let current = error;
  while (current instanceof Error && current.cause !== undefined && chain.length < MAX_CAUSES) {
    current = current.cause;
    chain.push(current);
  }
  return chain;
}

/** Exit status of the engine's errors, by name, so that verbs that need no engine load none of it. */
const STATUS_BY_NAME: Readonly<Record<string, ExitStatus>> = {
  DeniedError: ExitStatus.denied,
  HostNotReadyError: ExitStatus.hostNotReady,
  RefusedError: ExitStatus.refused,
};

/** A shell tells a death by signal so: 128 and the signal's number. */
export const SIGNALLED = 128;

/** Numbers of the signals that end Bargate, the same on every architecture. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/** The status after a signal ended the verb before there was an importer whose status it could be. */
function interruptedStatus(error: Error): number | undefined {
  if (error.name !== "InterruptedError" || !("signal" in error)) return undefined;
  const number = SIGNAL_NUMBERS[String(error.signal)];
  return number === undefined ? undefined : SIGNALLED + number;
}

/** What the process exits with after `error` ended a verb. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof CommandError) return error.status;
  const interrupted = error instanceof Error ? interruptedStatus(error) : undefined;
  if (interrupted !== undefined) return interrupted;
  const known = error instanceof Error ? STATUS_BY_NAME[error.name] : undefined;
  return known ?? ExitStatus.refused;
}
