/** Shows a story of the guest to a person. @module */
import { LabError } from "./lab_error.ts";
import { endedEarly, type Vm, withVm } from "./machine/vm.ts";
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
  await withVm(vmOptions(parts, exchange, runnerProgram()), (vm) => follow(vm, story, tell));
  await Deno.remove(exchange, { recursive: true });
}

async function follow(vm: Vm, story: string, tell: (line: StoryLine) => void): Promise<void> {
  const doing = `the story "${story}" ran`;
  while (true) {
    const event = await vm.next(SILENCE_LIMIT_MS, `the next line of the story "${story}"`);
    if (event.kind === "end") throw endedEarly(vm, event.status, doing);
    if (event.kind === "trouble" && event.trouble.fatal) {
      const { what, line } = event.trouble;
      throw new LabError(`kernel ${what} while ${doing}: ${line}`, { tail: vm.tail(40) });
    }
    if (event.kind !== "message") continue;
    if (event.message.kind === "story") tell(event.message);
    if (event.message.kind === "done") return endOfStory(vm, event.message);
  }
}

function endOfStory(vm: Vm, done: Extract<GuestMessage, { kind: "done" }>): void {
  if (done.ok) return;
  throw new LabError(`The story failed: ${done.message ?? "no reason given"}`, {
    fix: `see kernel.log in ${vm.logFolder}`,
    tail: vm.tail(10),
  });
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
