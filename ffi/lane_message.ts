/**
 * What a lane and its thread say to each other. Descriptors cross as numbers: an `Fd` owns its
 * number, and there must be one owner.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import { KernelError } from "../engine/kernel_error.ts";
import type { BlockingCall } from "./blocking_calls.ts";

/** A descriptor on its way. */
interface CrossingFd {
  readonly fd: number;
  readonly what: string;
}

/** To the thread. */
export interface CallMessage {
  readonly call: BlockingCall;
  readonly args: readonly unknown[];
}

/** From the thread, one for each call, in order. */
export type AnswerMessage =
  | { readonly kind: "result"; readonly result: unknown }
  | {
    readonly kind: "refused";
    readonly call: string;
    readonly errno: number;
    readonly errnoName: string;
    readonly subject: string;
  }
  | { readonly kind: "failed"; readonly message: string };

/**
 * Replaces each `Fd`, at the top, in a list or as a property, by its number.
 *
 * @param value an argument or a result
 * @returns what structured cloning takes
 */
export function toMessage(value: unknown): unknown {
  if (value instanceof Fd) return { fd: value.number, what: value.what };
  if (Array.isArray(value)) return value.map(toMessage);
  return isRecord(value) ? mapValues(value, toMessage) : value;
}

/**
 * The opposite of {@linkcode toMessage}.
 *
 * @param value what came
 * @returns the same with an `Fd` for each number of a descriptor
 */
export function fromMessage(value: unknown): unknown {
  if (isCrossingFd(value)) return new Fd(value.fd, value.what);
  if (Array.isArray(value)) return value.map(fromMessage);
  return isRecord(value) ? mapValues(value, fromMessage) : value;
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

function isCrossingFd(value: unknown): value is CrossingFd {
  return isRecord(value) && typeof value["fd"] === "number" && typeof value["what"] === "string";
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
