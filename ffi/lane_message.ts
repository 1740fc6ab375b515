/**
 * What a lane and its thread say to each other. The thread has a table of descriptors of its own, so
 * a descriptor crosses in one of two ways: what is in the thread's table already by its number; what
 * is in the process's table as a copy, by SCM_RIGHTS on a socket beside the messages.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { KernelError } from "../engine/kernel_error.ts";
import type { BlockingCall } from "./blocking_calls.ts";

/** A descriptor of the thread's table. */
interface KeptFd {
  readonly keptFd: number;
  readonly what: string;
}

/** A descriptor that comes on the socket, by its place among those of this message. */
interface SentFd {
  readonly sentFd: number;
  readonly what: string;
}

/** To the thread, before all else. */
export interface StartMessage {
  readonly kind: "start";
  /** The thread's end of the socket; absent: it shares the process's table, and needs none. */
  readonly socket?: number;
  /** Name of the thread's table; absent: the process's. */
  readonly table?: string;
}

/** To the thread. */
export interface CallMessage {
  readonly kind: "call";
  readonly call: BlockingCall;
  readonly args: readonly unknown[];
  /** How many descriptors come on the socket. */
  readonly sent: number;
}

/** From the thread, one for each message, in order. */
export type AnswerMessage =
  | { readonly kind: "result"; readonly result: unknown; readonly sent: number }
  | {
    readonly kind: "refused";
    readonly call: string;
    readonly errno: number;
    readonly errnoName: string;
    readonly subject: string;
  }
  | { readonly kind: "failed"; readonly message: string };

/**
 * Replaces each `Fd`, at the top, in a list or as a property.
 *
 * @param value an argument or a result
 * @param table whose descriptors cross by their number; absent: in the thread, its own
 * @param sent gets the others, to be sent on the socket
 * @returns what structured cloning takes
 * @throws {ClosedFdError} for a descriptor of another thread's table
 */
export function toMessage(value: unknown, table: string | undefined, sent: Fd[]): unknown {
  if (value instanceof Fd) return fdToMessage(value, table, sent);
  if (Array.isArray(value)) return value.map((entry) => toMessage(entry, table, sent));
  return isRecord(value) ? mapValues(value, (entry) => toMessage(entry, table, sent)) : value;
}

function fdToMessage(fd: Fd, table: string | undefined, sent: Fd[]): KeptFd | SentFd {
  if (fd.table === table) return { keptFd: fd.numberIn(table), what: fd.what };
  // Throws here, and not in the thread, if it is nobody's to send.
  fd.numberIn(undefined);
  return { sentFd: sent.push(fd) - 1, what: fd.what };
}

/** Makes the `Fd` of a descriptor that crossed by its number. */
export type KeptMaker = (number: number, what: string) => Fd;

/**
 * The opposite of {@linkcode toMessage}.
 *
 * @param value what came
 * @param kept makes descriptors of those that crossed by number
 * @param received what came on the socket, in order
 * @returns the same with an `Fd` for each descriptor
 */
export function fromMessage(value: unknown, kept: KeptMaker, received: readonly Fd[]): unknown {
  if (isKept(value)) return kept(value.keptFd, value.what);
  if (isSent(value)) return renamed(received[value.sentFd], value.what);
  if (Array.isArray(value)) return value.map((entry) => fromMessage(entry, kept, received));
  return isRecord(value) ? mapValues(value, (entry) => fromMessage(entry, kept, received)) : value;
}

/** What came on the socket is known there as that only. */
function renamed(fd: Fd | undefined, what: string): Fd {
  if (fd === undefined) throw new RangeError(`Cannot find the descriptor of ${what}: not received`);
  return new Fd(fd.release(), what);
}

/**
 * What the thread answers for an error.
 *
 * @param error what the call threw
 */
export function refusal(error: unknown): AnswerMessage {
  if (error instanceof KernelError) {
    const { call, errno, errnoName, subject } = error;
    return { kind: "refused", call, errno, errnoName, subject };
  }
  return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
}

function isKept(value: unknown): value is KeptFd {
  return isRecord(value) && typeof value["keptFd"] === "number" &&
    typeof value["what"] === "string";
}

function isSent(value: unknown): value is SentFd {
  return isRecord(value) && typeof value["sentFd"] === "number" &&
    typeof value["what"] === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
}

function mapValues(
  record: Record<string, unknown>,
  map: (value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
