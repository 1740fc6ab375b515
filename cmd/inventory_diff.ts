/**
 * `bargate inventory diff A B`: what differs between two inventories.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import type { DiffFlags } from "./compare_inventories.ts";
import type { Context } from "./context.ts";
import { pathArgument } from "./path_argument.ts";

/** The run-time reads what a literal import leads to at every start of `inventory`. */
async function loadDiff(): Promise<typeof import("./compare_inventories.ts").diff> {
  const file = "./compare_inventories.ts";
  const loaded: typeof import("./compare_inventories.ts") = await import(file);
  return loaded.diff;
}

/** The verb's second part. */
export const diffCommand = buildCommand<DiffFlags, [string, string], Context>({
  loader: loadDiff,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "json"],
        default: "human",
        brief: "How to print the differences",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [
        { brief: "An inventory (`inventory --out`)", parse: pathArgument, placeholder: "old" },
        { brief: "Another", parse: pathArgument, placeholder: "new" },
      ],
    },
  },
  docs: {
    brief: "Say what differs between two inventories; exit with 1 if anything does",
    fullDescription: [
      "One line for each field of the host or of a function, with both values; of configuration",
      "space for each run of bytes. Exit status: 0 both say the same, 1 they differ, 2 a file cannot",
      "be read, 4 one is no inventory.",
      "",
      "Aliases of redacted inventories cannot be compared: redact neither, or expect differences.",
    ].join("\n"),
  },
});
