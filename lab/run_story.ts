/** Shows a story of the guest to a person. @module */
import { follow } from "./follow.ts";
import { withVm } from "./machine/vm.ts";
import { type MachineParts, prepareExchange, runnerProgram, vmOptions } from "./machine_parts.ts";
import { join } from "./path.ts";
import type { GuestMessage } from "./protocol/message.ts";

/** A line of the story. */
export type StoryLine = Extract<GuestMessage, { kind: "story" }>;

/** Between two messages of the guest. */
const SILENCE_LIMIT_MS = 120_000;

/**
 * @param parts what a boot needs
 * @param story its name, a file of `lab/stories/`
 * @param tell gets each line as it comes
 * @throws LabError when the guest ends, breaks, or is silent for too long
 */
export async function runStory(
  parts: MachineParts,
  story: string,
  tell: (line: StoryLine) => void,
): Promise<void> {
  const exchange = await prepareExchange({ job: "story", story }, parts.programs);
  await withVm(vmOptions(parts, exchange, runnerProgram()), (vm) =>
    follow(vm, {
      job: `the story "${story}"`,
      silenceLimitMs: SILENCE_LIMIT_MS,
      message: (message) => {
        if (message.kind === "story") tell(message);
      },
    }));
  await Deno.remove(exchange, { recursive: true });
}

/**
 * @param checkout the checkout's folder
 * @returns names of the stories
 */
export async function storyNames(checkout: string): Promise<readonly string[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(checkout, "lab/stories")));
  return entries.map((entry) => entry.name).filter((name) => name.endsWith(".ts"))
    .map((name) => name.replace(/\.ts$/, "")).sort();
}
