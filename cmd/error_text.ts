/**
 * The line that says why a verb ended.
 *
 * @module
 */
import { CommandError, describeError, stacksOf } from "./errors.ts";
import { visible, visibleLines } from "./output/visible.ts";

/** Whether to print stack traces. Asked only where that needs no permission prompt. */
function debugging(): boolean {
  const variable = "BARGATE_DEBUG";
  const right = Deno.permissions.querySync({ name: "env", variable });
  return right.state === "granted" && Boolean(Deno.env.get(variable));
}

/**
 * An error for people. Parts of it can come from peers, files and the kernel: nothing in it moves a
 * terminal's cursor, and nothing begins a line that Bargate does not begin.
 *
 * @param error what was thrown
 * @returns `error: …`, without a newline at its end
 *
 * @example
 * ```ts
 * import { errorText } from "./error_text.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(errorText(new Error("no such \x1b[2J")), "error: no such <U+001B>[2J");
 * ```
 */
export function errorText(error: unknown): string {
  const text = describeError(error);
  const hasLines = error instanceof CommandError && error.hasLines;
  const stacks = debugging() ? stacksOf(error).map((stack) => `\n${visibleLines(stack)}`) : [];
  return `error: ${hasLines ? visibleLines(text) : visible(text)}${stacks.join("")}`;
}
