/**
 * The thread of a lane: makes one blocking call after the other, with its own `errno`.
 *
 * @module
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { BLOCKING_CALLS } from "./blocking_calls.ts";
import {
  type AnswerMessage,
  type CallMessage,
  fromMessage,
  refusal,
  toMessage,
} from "./lane_message.ts";

self.onmessage = ({ data }: MessageEvent<CallMessage>) => self.postMessage(answer(data));

function answer({ call, args }: CallMessage): AnswerMessage {
  try {
    const make = BLOCKING_CALLS[call] as (...args: unknown[]) => unknown;
    return { kind: "result", result: toMessage(make(...args.map(fromMessage))) };
  } catch (error) {
    return refusal(error);
  }
}
