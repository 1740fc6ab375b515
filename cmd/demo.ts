/**
 * `bargate demo`: a policy is validated, planned, exported to another process and taken back by a reset,
 * on a simulated host. Devices are simulated; the processes and their descriptors are real.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import type { Context } from "./context.ts";
import { type DemoEntry, runDemo } from "./demo_story.ts";
import { demoJson, DemoText } from "./output/demo_text.ts";
import { styleFor } from "./output/style.ts";
import { ownFile } from "./own_file.ts";

interface Flags {
  readonly format: "human" | "jsonl";
}

const FILES = {
  folder: ownFile(""),
  policy: "examples/policies/cmb-to-edu.yaml",
  snapshot: "examples/hosts/laboratory.json",
};

async function demo(this: Context, { format }: Flags): Promise<void> {
  const { stdout } = this.process;
  const text = new DemoText(styleFor(this.colours && stdout.isTerminal));
  if (format === "human") stdout.write(text.head());
  const print = (entry: DemoEntry) => format === "human" ? text.entry(entry) : demoJson(entry);
  await runDemo(this, FILES, (entry) => stdout.write(print(entry)));
}

/** The verb. */
export const command = buildCommand<Flags, [], Context>({
  func: demo,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "jsonl"],
        default: "human",
        brief: "How to print what happens",
      },
    },
  },
  docs: {
    brief: "Show the whole way on a simulated host: no device, no root, some seconds",
    fullDescription: [
      "Validates a policy of the examples, plans it on a simulated host, exports to a process of its",
      "own, resets the device, and shows that the process is told and that its descriptor is dead.",
      "",
      "Exit status 0: everything went as it is shown. 5: something did not.",
    ].join("\n"),
  },
});
