/**
 * The thread of a lane: makes one blocking call after the other, with its own `errno` and its own
 * table of descriptors.
 *
 * @module
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { Fd } from "../engine/fd.ts";
import { BLOCKING_CALLS, KEEPS_DESCRIPTORS } from "./blocking_calls.ts";
import { closeDescriptor } from "./descriptors.ts";
import {
  type AnswerMessage,
  type CallMessage,
  fromMessage,
  refusal,
  type StartMessage,
  toMessage,
} from "./lane_message.ts";
import { takeOwnTable } from "./own_table.ts";
import { receivePacket, sendPacket } from "./seqpacket.ts";

let socket: Fd | undefined;
let table: string | undefined;

self.onmessage = ({ data }: MessageEvent<StartMessage | CallMessage>) => {
  self.postMessage(data.kind === "start" ? start(data) : answer(data));
};

function start(message: StartMessage): AnswerMessage {
  try {
    if (message.socket !== undefined) {
      takeOwnTable(message.socket);
      socket = new Fd(message.socket, "lane");
      table = message.table;
    }
    return { kind: "result", result: undefined, sent: 0 };
  } catch (error) {
    return refusal(error);
  }
}

/** Here all descriptors are in the table that this thread calls its own: none is marked. */
const kept = (number: number, what: string) => new Fd(number, what);

function answer({ call, args, sent }: CallMessage): AnswerMessage {
  const received = sent === 0 ? [] : take();
  const given: Fd[] = [];
  try {
    const make = BLOCKING_CALLS[call] as (...args: unknown[]) => unknown;
    const values = args.map((arg) => {
      const value = fromMessage(arg, kept, received);
      given.push(...descriptorsIn(arg, value));
      return value;
    });
    return result(make(...values), KEEPS_DESCRIPTORS.has(call));
  } catch (error) {
    return refusal(error);
  } finally {
    // Copies serve one call; `close` has given its own up by now.
    for (const fd of [...given, ...received]) if (fd.open) closeDescriptor(fd);
  }
}

/** The descriptors of an argument that came on the socket. */
function descriptorsIn(arg: unknown, value: unknown): Fd[] {
  if (value instanceof Fd) return isSentMark(arg) ? [value] : [];
  if (typeof value !== "object" || value === null || typeof arg !== "object" || arg === null) {
    return [];
  }
  return Object.entries(value).flatMap(([key, entry]) =>
    descriptorsIn((arg as Record<string, unknown>)[key], entry)
  );
}

function isSentMark(arg: unknown): boolean {
  return typeof arg === "object" && arg !== null && "sentFd" in arg;
}

function result(value: unknown, keeps: boolean): AnswerMessage {
  const sent: Fd[] = [];
  // A result that stays is told by its number; one that goes is sent, and closed here.
  const message = toMessage(value, keeps ? undefined : table, sent);
  if (sent.length > 0) give(sent);
  return { kind: "result", result: message, sent: sent.length };
}

function give(fds: readonly Fd[]): void {
  try {
    if (socket === undefined || !sendPacket(socket, new Uint8Array(1), fds)) {
      throw new Error("Cannot hand a descriptor over: the process does not take it");
    }
  } finally {
    for (const fd of fds) closeDescriptor(fd);
  }
}

/** What belongs to a message was sent before it. */
function take(): readonly Fd[] {
  const packet = socket === undefined ? "end" : receivePacket(socket);
  if (typeof packet === "string") throw new Error(`Cannot take descriptors: ${packet}`);
  return packet.fds;
}
